/** A process of Castor as a test sees it: started by its real entry, watched, killed, and never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from './wait.ts'

const ENTRY = join(import.meta.dirname, '../../infra/processes/main.ts')
const OUTPUT_KEPT = 20_000
const STOP_TIMEOUT_MS = 20_000

export interface TestProcess {
  readonly pid: number
  /** Undefined while it runs. */
  readonly exit: { code: number | null; signal: NodeJS.Signals | null } | undefined
  /** The end of what it printed. */
  output(): string
  signal(signal: NodeJS.Signals): void
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>
  /** SIGTERM, and waits for its end; its exit code. */
  stop(): Promise<number | null>
}

/**
 * `node infra/processes/main.ts ...args` with only these variables of Castor's set. `launcher` is a command in front that must end in
 * becoming that process, since its pid is taken for it.
 */
export function startProcess(args: string[], env: Record<string, string>, launcher: string[] = []): TestProcess {
  const [program, ...rest] = [...launcher, process.execPath, ENTRY, ...args]
  const child = spawn(program!, rest, {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // A test that is stopped halfway must not leave it running.
  const endWithUs = () => child.kill('SIGKILL')
  process.once('exit', endWithUs)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text = (text + chunk).slice(-OUTPUT_KEPT)))
  const ended = endOf(child)
  let exit: TestProcess['exit']
  ended.then((how) => {
    exit = how
    process.off('exit', endWithUs)
  })
  return {
    pid: child.pid!,
    get exit() {
      return exit
    },
    output: () => text,
    signal: (signal) => void child.kill(signal),
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async stop() {
      child.kill('SIGTERM')
      await until(() => exit !== undefined, `${args.join(' ') || 'Castor'} ends after SIGTERM\n${text}`, STOP_TIMEOUT_MS)
      return exit!.code
    },
  }
}

/** Direct children of a process. Linux only. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}

/** Settings of whoever runs the tests must not reach what they start. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(CASTOR_|TEMPORAL_ADDRESS|DATABASE_URL|MQTT_|OTEL_)/.test(name)),
  )
}

function endOf(child: ChildProcess): Promise<NonNullable<TestProcess['exit']>> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
}
