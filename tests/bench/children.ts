/** The bench's own child processes: the load generator, the floor, the prober, the REST clients. Whatever happens, they end with the bench. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { GeneratorCommand, GeneratorPlan, GeneratorReport } from './generator.ts'

const ANSWER_MS = 60_000

/** The next message that a child sends, or an error when it ends or says nothing for too long. */
export function answerOf<T>(child: ChildProcess, what: string, timeoutMs = ANSWER_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      act()
    }
    const onMessage = (message: unknown) => finish(() => resolve(message as T))
    const onExit = (code: number | null) => finish(() => reject(new Error(`${what}: the process ended with ${code}`)))
    const timer = setTimeout(() => finish(() => reject(new Error(`${what}: no answer within ${timeoutMs} ms`))), timeoutMs)
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
}

export function forkBeside(file: string, args: string[] = []): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url))
  return fork(path, args, { stdio: ['ignore', 2, 'inherit', 'ipc'] })
}

export function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    if (child.connected) child.disconnect()
    setTimeout(() => child.kill('SIGKILL'), 5000).unref()
  })
}

/** The floor, listening: its MQTT port. */
export async function startFloor(databaseUrl: string): Promise<{ port: number; stop(): Promise<void> }> {
  const child = forkBeside('floor.ts', [databaseUrl])
  const { port } = await answerOf<{ port: number }>(child, 'floor')
  return { port, stop: () => endOf(child) }
}

/** A child that takes one job, answers once, and ends. */
export async function runJob<Job, Report>(file: string, job: Job, timeoutMs: number): Promise<Report> {
  const child = forkBeside(file)
  try {
    child.send(job as object)
    return await answerOf<Report>(child, file, timeoutMs)
  } finally {
    await endOf(child)
  }
}

export interface Interval {
  seconds: number
  /** Acknowledged messages a second. */
  rate: number
  p50Ms: number
  p99Ms: number
}

/** A running load generator, its connections made. */
export class Generator {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(plan: GeneratorPlan): Promise<Generator> {
    const child = forkBeside('generator.ts')
    const generator = new Generator(child)
    generator.#tell({ kind: 'plan', plan })
    const deadline = Date.now() + ANSWER_MS
    for (;;) {
      const { connected, why } = await generator.report()
      if (connected >= plan.devices.length) return generator
      if (Date.now() > deadline) {
        await generator.stop()
        throw new Error(`only ${connected} of ${plan.devices.length} devices could connect (${why || 'no reason seen'})`)
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  pace(perSecond: number | null, total?: number): void {
    this.#tell(total === undefined ? { kind: 'pace', perSecond } : { kind: 'pace', perSecond, total })
  }

  report(): Promise<GeneratorReport> {
    this.#tell({ kind: 'report' })
    return answerOf<GeneratorReport>(this.#child, 'load generator')
  }

  /** Counts what is acknowledged from now on for so long; the pace stays as it is. */
  async measure(seconds: number, meanwhile: () => Promise<void> = async () => {}): Promise<Interval> {
    this.#tell({ kind: 'mark' })
    const [from, fromAt] = [await this.report(), performance.now()]
    while (performance.now() - fromAt < seconds * 1000) {
      const next = new Promise((resolve) => setTimeout(resolve, Math.max(0, Math.min(500, seconds * 1000 - (performance.now() - fromAt)))))
      await meanwhile()
      await next
    }
    const to = await this.report()
    const took = (performance.now() - fromAt) / 1000
    return { seconds: took, rate: (to.acknowledged - from.acknowledged) / took, p50Ms: to.p50Ms, p99Ms: to.p99Ms }
  }

  stop(): Promise<void> {
    return endOf(this.#child)
  }

  #tell(command: GeneratorCommand): void {
    this.#child.send(command)
  }
}
