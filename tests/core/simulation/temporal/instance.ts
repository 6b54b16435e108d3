/** One run of a workflow in a worker's memory: its handlers, what it waits for, and how it ended. Made anew from history when lost. */
import { deviceTwin } from '../../../../workflows/device-twin.ts'
import type { TwinStart } from '../../../../workflows/messages.ts'
import { activate } from './active.ts'

export type Job = { signal: string; argument: unknown } | { timer: number }

/** What happened at one moment of a task: jobs that came in, or the end of a local activity. Enough to replay it. */
export interface Stage {
  now: number
  jobs?: Job[]
  activity?: { name: string; result: unknown }
}

export interface ActivityCall {
  name: string
  args: unknown[]
  resolve: (result: unknown) => void
}

export class Instance {
  readonly id: string
  /** Open timers, by their number: when they are due. */
  readonly timers = new Map<number, { dueAt: number; fire: () => void }>()
  readonly calls: ActivityCall[] = []
  end: { result: unknown } | { error: unknown } | undefined
  historyLength = 0
  readonly #start: TwinStart
  readonly #attributes = new Map<string, unknown>()
  readonly #handlers = new Map<string, (argument: never) => unknown>()
  #early: Array<{ signal: string; argument: unknown }> = []
  #conditions: Array<{ predicate: () => boolean; go: () => void }> = []
  #started = false
  #timers = 0
  #now = 0

  constructor(id: string, start: TwinStart) {
    this.id = id
    this.#start = plain(start)
  }

  /** Signals are handed over before timers that fired. */
  async play(stage: Stage): Promise<void> {
    this.#now = stage.now
    const { jobs = [], activity } = stage
    await activate(this, stage.now, () => {
      for (const job of jobs) if ('signal' in job) this.#signal(job.signal, job.argument)
      for (const job of jobs) if ('timer' in job) this.#fire(job.timer)
      if (activity !== undefined) this.#finish(activity)
      if (!this.#started) this.#begin()
    })
  }

  handle(signal: string, handler: (argument: never) => unknown): void {
    this.#handlers.set(signal, handler)
    const early = this.#early
    this.#early = []
    for (const { signal: name, argument } of early) this.#signal(name, argument)
  }

  until(predicate: () => boolean): Promise<void> {
    if (predicate()) return Promise.resolve()
    return new Promise((go) => this.#conditions.push({ predicate, go }))
  }

  sleep(ms: number): Promise<void> {
    const dueAt = this.#now + ms
    return new Promise((fire) => this.timers.set(++this.#timers, { dueAt, fire }))
  }

  callActivity(name: string, args: unknown[]): Promise<unknown> {
    return new Promise((resolve) => this.calls.push({ name, args: plain(args), resolve: (result) => resolve(plain(result)) }))
  }

  info() {
    const typedSearchAttributes = { get: ({ name }: { name: string }) => this.#attributes.get(name) }
    return { workflowId: this.id, historyLength: this.historyLength, typedSearchAttributes }
  }

  index(pairs: Array<{ key: { name: string }; value: unknown }>): void {
    for (const { key, value } of pairs) this.#attributes.set(key.name, value ?? undefined)
  }

  /** True when one was met and goes on. */
  wakeConditions(): boolean {
    const met = this.#conditions.find(({ predicate }) => predicate())
    if (met === undefined) return false
    this.#conditions = this.#conditions.filter((condition) => condition !== met)
    met.go()
    return true
  }

  #begin(): void {
    this.#started = true
    deviceTwin(this.#start).then(
      (result) => {
        this.end = { result }
      },
      (error: unknown) => {
        this.end = { error }
      },
    )
  }

  #signal(signal: string, argument: unknown): void {
    const handler = this.#handlers.get(signal)
    if (handler === undefined) this.#early.push({ signal, argument })
    else handler(plain(argument) as never)
  }

  #fire(timer: number): void {
    this.timers.get(timer)?.fire()
    this.timers.delete(timer)
  }

  #finish({ name, result }: { name: string; result: unknown }): void {
    const call = this.calls.shift()
    if (call?.name !== name) throw new Error(`history holds ${name}, the code called ${call?.name}: it is not deterministic`)
    call.resolve(result)
  }
}

/** As it is after it went through Temporal: plain JSON. */
export function plain<T>(value: T): T {
  return value === undefined ? value : JSON.parse(JSON.stringify(value))
}
