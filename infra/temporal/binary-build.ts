/**
 * The Temporal CLI built from source with Go, from the module pinned in infra/temporal/cli/go.mod and its checksums in go.sum. Takes
 * some four minutes on two cores, once; where modules come from is the machine's own Go setting.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../config.ts'
import { versionOf } from './binary.ts'

const MODULE = fileURLToPath(new URL('./cli/', import.meta.url))
const PACKAGE = 'github.com/temporalio/cli/cmd/temporal'
const BUILD_TIMEOUT_MS = 30 * 60_000
const PROGRESS_MS = 15_000

export interface BuildOptions {
  say: (line: string) => void
  signal?: AbortSignal
}

export async function buildWithGo(target: string, { say, signal }: BuildOptions): Promise<void> {
  const version = (await go(['version'], { signal })).trim().replace('go version ', '')
  say(`Temporal server: building it with ${version}. This happens once and takes some four minutes on two cores`)
  const start = performance.now()
  const packages = await countPackages(say, signal)
  const beside = `${target}.${process.pid}.new`
  let compiled = 0
  const progress = setInterval(
    () => say(`Temporal server: ${Math.min(compiled, packages)} of ${packages} packages built (${elapsed(start)})`),
    PROGRESS_MS,
  )
  try {
    const args = ['build', '-v', '-trimpath', '-ldflags', '-s -w', '-o', beside, PACKAGE]
    await go(args, { signal, onErrorLine: () => compiled++ })
    await versionOf(beside)
    await rename(beside, target)
    say(`Temporal server: built in ${elapsed(start)}, kept at ${target}`)
  } finally {
    clearInterval(progress)
    await rm(beside, { force: true })
  }
}

/** Fetches the modules on the way. */
async function countPackages(say: (line: string) => void, signal: AbortSignal | undefined): Promise<number> {
  let modules = 0
  const start = performance.now()
  const progress = setInterval(() => say(`Temporal server: fetching Go modules, ${modules} so far (${elapsed(start)})`), PROGRESS_MS)
  const onErrorLine = (line: string) => {
    if (line.startsWith('go: downloading')) modules++
  }
  try {
    return (await go(['list', '-deps', PACKAGE], { signal, onErrorLine })).trim().split('\n').length
  } finally {
    clearInterval(progress)
  }
}

interface GoOptions {
  signal: AbortSignal | undefined
  onErrorLine?: (line: string) => void
}

/** Runs Go in the module's folder; returns what it printed. Its error output is given by line, and its end in the error. */
async function go(args: string[], { signal, onErrorLine }: GoOptions): Promise<string> {
  signal?.throwIfAborted()
  // A group of its own, so that the compilers end with it.
  const child = spawn('go', args, {
    cwd: MODULE,
    env: childEnvironment({ GOWORK: 'off', CGO_ENABLED: '0' }),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  })
  const kill = () => killGroup(child)
  signal?.addEventListener('abort', kill)
  process.once('exit', kill)
  const timer = setTimeout(kill, BUILD_TIMEOUT_MS)
  try {
    return await output(child, args, onErrorLine)
  } finally {
    clearTimeout(timer)
    process.off('exit', kill)
    signal?.removeEventListener('abort', kill)
    signal?.throwIfAborted()
  }
}

function output(child: ChildProcess, args: string[], onErrorLine?: (line: string) => void): Promise<string> {
  let [printed, lastLines, partial] = ['', [] as string[], '']
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (partial + text).split('\n')
    partial = lines.pop()!
    for (const line of lines) onErrorLine?.(line)
    lastLines = [...lastLines, ...lines].slice(-8)
  })
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error('there is no go on PATH') : error))
    child.once('close', (code, signal) => {
      if (code === 0) resolve(printed)
      else reject(new Error(`go ${args[0]} ended with ${code ?? signal}:\n    ${[...lastLines, partial].join('\n    ').trim()}`))
    })
  })
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    if (process.platform === 'win32') child.kill()
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

function elapsed(start: number): string {
  const seconds = Math.round((performance.now() - start) / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
