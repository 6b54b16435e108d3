/**
 * Finds or makes the Temporal CLI, whose `server start-dev` is the real Temporal server (docs/architecture.md §5). In this order:
 * TEMPORAL_CLI_PATH; the project's cache; `temporal` on PATH in a supported version; the official archive, checked against its
 * release's checksum file; a Go build of the module pinned in infra/temporal/cli/go.mod. Each step says what it does; when none works
 * the error names all. What is made stands in the cache from then on.
 */
import { execFile } from 'node:child_process'
import { access, constants, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { tryLock } from '../processes/lock-file.ts'
import { buildWithGo } from './binary-build.ts'
import { downloadRelease } from './binary-download.ts'

/** The pinned version; its Go module stands in infra/temporal/cli/go.mod. */
export const TEMPORAL_CLI_VERSION = '1.8.2'
/** Servers that Castor is known to run on; for a `temporal` that is already installed. */
const SERVER_FROM = [1, 29] as const
const SERVER_TO = [1, 32] as const

export interface BinaryOptions {
  /** TEMPORAL_CLI_PATH. */
  cliPath?: string | undefined
  /** Parent of the folder `castor`. */
  cacheDir: string
  /** Tells a person what goes on. */
  say: (line: string) => void
  /** Ends a download or build. */
  signal?: AbortSignal
  /** Ways of making the binary, in order; for tests. Each writes to `target`. */
  makers?: Maker[]
  /** Where to look for `temporal`; default PATH. */
  onPath?: string
}

export interface Maker {
  name: string
  make(target: string, options: Pick<BinaryOptions, 'say' | 'signal'>): Promise<void>
}

const MAKERS: Maker[] = [
  { name: 'the official archive', make: (target, options) => downloadRelease(TEMPORAL_CLI_VERSION, target, options) },
  { name: 'a build with Go', make: (target, options) => buildWithGo(target, options) },
]

/** The path of a Temporal CLI that runs. */
export async function temporalBinary(options: BinaryOptions): Promise<string> {
  if (options.cliPath) return givenBinary(options.cliPath)
  const folder = join(options.cacheDir, 'castor')
  const cached = join(folder, `temporal-${TEMPORAL_CLI_VERSION}-${process.platform}-${process.arch}${suffix()}`)
  if (await isExecutable(cached)) return cached
  const failures: string[] = [`the cache: ${cached} is not there`]

  const installed = await installedBinary(options.onPath ?? 'temporal')
  if (installed.path) return installed.path
  failures.push(`PATH: ${installed.why}`)

  await mkdir(folder, { recursive: true })
  return withBuildLock(`${cached}.lock`, options, async () => {
    if (await isExecutable(cached)) return cached
    await removeUnfinished(folder, basename(cached))
    for (const { name, make } of options.makers ?? MAKERS) {
      try {
        await make(cached, options)
        return cached
      } catch (error) {
        options.signal?.throwIfAborted()
        failures.push(`${name}: ${(error as Error).message}`)
        options.say(`Temporal server: ${name} did not work (${firstLine(error)})`)
      }
    }
    throw new Error(
      `No Temporal server could be found or made. Tried:\n  ${['TEMPORAL_CLI_PATH: not set', ...failures].join('\n  ')}\n` +
        'Install the Temporal CLI and set TEMPORAL_CLI_PATH, or Go, or set TEMPORAL_ADDRESS to a Temporal of your own.',
    )
  })
}

export function suffix(): string {
  return process.platform === 'win32' ? '.exe' : ''
}

/** Runs `temporal --version`; the proof that a binary is whole and for this machine. */
export async function versionOf(binary: string): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, ['--version'], { timeout: 20_000 })
  return stdout.trim()
}

/** Whoever sets the path means it: what does not run is an error, not a reason to look elsewhere. */
async function givenBinary(path: string): Promise<string> {
  try {
    await versionOf(path)
    return path
  } catch (error) {
    throw new Error(`TEMPORAL_CLI_PATH: ${path} does not run (${firstLine(error)}).`)
  }
}

async function installedBinary(command: string): Promise<{ path?: string; why: string }> {
  let printed: string
  try {
    printed = await versionOf(command)
  } catch {
    return { why: 'there is no temporal on it' }
  }
  const server = /Server (\d+)\.(\d+)/.exec(printed)
  if (!server) return { why: `it has "${printed}", whose server version is unknown` }
  const [major, minor] = [Number(server[1]), Number(server[2])]
  const supported = major === SERVER_FROM[0] && minor >= SERVER_FROM[1] && minor <= SERVER_TO[1]
  if (supported) return { path: command, why: '' }
  return { why: `it has "${printed}", supported are servers ${SERVER_FROM.join('.')} to ${SERVER_TO.join('.')}` }
}

/** Of two starts at once one makes the binary and the other waits for it. */
async function withBuildLock<T>(file: string, { say, signal }: BinaryOptions, action: () => Promise<T>): Promise<T> {
  let said = false
  for (;;) {
    const lock = await tryLock(file)
    if ('release' in lock) return action().finally(lock.release)
    if (!said) say(`Temporal server: process ${lock.heldBy.pid} is fetching or building it; waiting`)
    said = true
    await sleep(500, undefined, signal ? { signal } : {})
  }
}

/** What attempts that were killed left: each may be over a hundred megabytes. */
async function removeUnfinished(folder: string, name: string): Promise<void> {
  const left = (await readdir(folder)).filter(
    (entry) => entry.startsWith('.fetch-') || (entry.startsWith(`${name}.`) && entry.endsWith('.new')),
  )
  for (const entry of left) await rm(join(folder, entry), { recursive: true, force: true })
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function firstLine(error: unknown): string {
  return (error as Error).message.split('\n')[0]!
}
