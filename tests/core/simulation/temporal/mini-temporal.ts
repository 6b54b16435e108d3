/**
 * Temporal in miniature: executions with a history, tasks that run the real workflow code and may fail and run again, timers, signals that
 * come late or twice, continue-as-new, resets to an earlier point, terminations, outages. Local activities belong to their task: when it
 * fails, their results are forgotten, though what they did in the store is done.
 */
import { twinWorkflowId } from '../../../../twin-models/ids.ts'
import type { TwinStart } from '../../../../workflows/messages.ts'
import type { Trouble } from '../trouble.ts'
import type { World } from '../world.ts'
import { Instance, type Job, plain, type Stage } from './instance.ts'
import { ContinueAsNew } from './workflow-module.ts'

const TASK_TIMEOUT_MS = 10_000

export interface Execution {
  id: string
  start: TwinStart
  /** Completed tasks. */
  history: Stage[][]
  /** Not yet in a completed task. */
  waiting: Job[]
  /** In the worker's cache. */
  cached: Instance | undefined
  busy: boolean
  closed: boolean
  /** Raised by a reset and at a new run: what was meant for the run before is void. */
  run: number
  timers: Set<number>
}

export type Activities = { [name: string]: (...args: never[]) => Promise<unknown> }

class TaskFailed extends Error {}

export class MiniTemporal {
  readonly executions = new Map<string, Execution>()
  /** Until then it refuses everything and runs nothing. */
  outageUntil = 0
  readonly counts = { tasks: 0, failedTasks: 0, replays: 0, continued: 0, resets: 0, terminated: 0, signals: 0, ended: 0 }
  readonly #world: World
  readonly #trouble: Trouble
  readonly #activities: Activities
  /** Runs are short here: their history counts as so many times longer, that they continue as new now and then. */
  readonly #weight: number

  constructor(world: World, trouble: Trouble, activities: Activities) {
    this.#world = world
    this.#trouble = trouble
    this.#activities = activities
    this.#weight = world.between(1, 4)
  }

  get isDown(): boolean {
    return this.outageUntil > this.#world.now
  }

  signalWithStart(start: TwinStart, signal: string, argument: unknown): void {
    const id = twinWorkflowId(start)
    let execution = this.executions.get(id)
    if (execution === undefined || execution.closed) {
      const run = (execution?.run ?? 0) + 1
      execution = { id, start, history: [], waiting: [], cached: undefined, busy: false, closed: false, run, timers: new Set() }
      this.executions.set(id, execution)
    }
    this.#deliver(execution, { signal, argument })
  }

  /** False when there is no such running workflow. */
  signal(id: string, signal: string, argument: unknown): boolean {
    const execution = this.executions.get(id)
    if (execution === undefined || execution.closed) return false
    this.#deliver(execution, { signal, argument })
    return true
  }

  /** Back to an earlier completed task. Signals that came later are applied again, or not. */
  reset(execution: Execution): void {
    const { random } = this.#world
    if (execution.closed || execution.history.length < 2) return
    const keep = this.#world.between(1, execution.history.length - 1)
    this.#world.note(`${execution.id} is reset to task ${keep} of ${execution.history.length}`)
    const dropped = execution.history.slice(keep).flatMap((stages) => stages.flatMap(({ jobs = [] }) => jobs))
    const again = random.chance(0.5) ? dropped.filter((job) => 'signal' in job) : []
    execution.history = execution.history.slice(0, keep)
    execution.waiting = [...again, ...execution.waiting.filter((job) => 'signal' in job)]
    this.#newRun(execution)
    this.counts.resets++
    this.#schedule(execution)
  }

  terminate(execution: Execution): void {
    if (execution.closed) return
    this.#world.note(`${execution.id} is terminated`)
    this.#newRun(execution)
    execution.closed = true
    this.counts.terminated++
  }

  /** The worker died, or its cache was full. */
  forgetCache(): void {
    for (const execution of this.executions.values()) execution.cached = undefined
  }

  #newRun(execution: Execution): void {
    execution.run++
    execution.cached = undefined
    execution.timers = new Set()
    execution.busy = false
  }

  #deliver(execution: Execution, job: Job): void {
    if ('signal' in job) this.counts.signals++
    execution.waiting.push(plain(job))
    this.#schedule(execution)
  }

  #schedule(execution: Execution): void {
    if (execution.busy || execution.closed) return
    execution.busy = true
    this.#world.start(() => this.#runTasks(execution, execution.run))
  }

  async #runTasks(execution: Execution, run: number): Promise<void> {
    const isOurs = (): boolean => execution.run === run && !execution.closed
    let first = true
    while (isOurs() && (first || execution.waiting.length > 0)) {
      first = false
      await this.#world.sleep(this.#trouble.latency(), `task of ${execution.id}`)
      while (isOurs() && this.isDown) await this.#world.sleep(this.outageUntil - this.#world.now, `outage of ${execution.id}`)
      if (!isOurs()) return
      try {
        await this.#runTask(execution, isOurs)
      } catch (error) {
        if (!(error instanceof TaskFailed)) throw error
        if (!isOurs()) return
        this.counts.failedTasks++
        execution.cached = undefined
        first = true
        await this.#world.sleep(error.message === 'timeout' ? TASK_TIMEOUT_MS : 10, `task of ${execution.id} again`)
      }
    }
    if (isOurs()) execution.busy = false
  }

  async #runTask(execution: Execution, isOurs: () => boolean): Promise<void> {
    this.counts.tasks++
    const instance = execution.cached ?? (await this.#replay(execution))
    execution.cached = undefined
    const jobs = execution.waiting.slice()
    const stages: Stage[] = []
    const play = async (stage: Stage): Promise<void> => {
      stages.push(plain(stage))
      instance.historyLength = this.#weight * lengthOf([...execution.history, stages])
      await this.#play(instance, stage)
    }
    await play({ now: this.#world.now, jobs })
    while (instance.calls.length > 0 && instance.end === undefined) {
      const { name, args } = instance.calls[0]!
      this.#mayFail()
      const result = plain(await this.#activities[name]!(...(args as never[])))
      this.#mayFail()
      if (!isOurs()) throw new TaskFailed('another run')
      await play({ now: this.#world.now, activity: { name, result } })
    }
    await this.#world.sleep(this.#trouble.chance(0.1) ? this.#trouble.latency() : 0, `${execution.id} completes its task`)
    if (!isOurs()) throw new TaskFailed('another run')
    if (this.isDown || this.#trouble.chance(0.005)) throw new TaskFailed('not taken')
    this.#complete(execution, instance, jobs, stages)
  }

  #complete(execution: Execution, instance: Instance, jobs: Job[], stages: Stage[]): void {
    const { end } = instance
    // A run does not close over a signal that it has not seen.
    if (end !== undefined && execution.waiting.length > jobs.length) throw new TaskFailed('unhandled command')
    execution.waiting.splice(0, jobs.length)
    execution.history.push(stages)
    execution.cached = this.#trouble.chance(0.05) ? undefined : instance
    if (end === undefined) this.#startTimers(execution, instance)
    else if ('error' in end && end.error instanceof ContinueAsNew) this.#continue(execution, end.error.args as TwinStart)
    else if ('error' in end) this.#world.fail('a twin does not fail', `${execution.id}: ${(end.error as Error)?.stack}`)
    else {
      this.counts.ended++
      execution.closed = true
      execution.cached = undefined
    }
  }

  #continue(execution: Execution, start: TwinStart): void {
    this.counts.continued++
    execution.history = []
    execution.start = plain(start)
    this.#newRun(execution)
    this.#schedule(execution)
  }

  #startTimers(execution: Execution, instance: Instance): void {
    const { run, timers } = execution
    for (const [timer, { dueAt }] of instance.timers) {
      if (timers.has(timer)) continue
      timers.add(timer)
      this.#world.later(dueAt - this.#world.now, `timer of ${execution.id}`, () => {
        if (execution.run === run && !execution.closed) this.#deliver(execution, { timer })
      })
    }
  }

  async #replay(execution: Execution): Promise<Instance> {
    if (execution.history.length > 0) this.counts.replays++
    const instance = new Instance(execution.id, execution.start)
    const past: Stage[][] = []
    for (const stages of execution.history) {
      past.push([])
      for (const stage of stages) {
        past.at(-1)!.push(stage)
        instance.historyLength = this.#weight * lengthOf(past)
        await this.#play(instance, plain(stage))
      }
    }
    return instance
  }

  async #play(instance: Instance, stage: Stage): Promise<void> {
    await this.#world.exclusively(() => instance.play(stage))
  }

  #mayFail(): void {
    if (this.isDown || this.#trouble.chance(0.01)) throw new TaskFailed(this.#trouble.chance(0.5) ? 'timeout' : 'worker died')
  }
}

/** As Temporal counts events: three a task, one a signal, a marker, a timer started or fired. */
function lengthOf(history: Stage[][]): number {
  let length = 2
  for (const stages of history) {
    length += 3
    for (const { jobs = [], activity } of stages) length += jobs.length + (activity === undefined ? 0 : 1)
  }
  return length
}
