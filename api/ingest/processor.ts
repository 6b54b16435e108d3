/**
 * The processor: takes what was accepted from the ingest log to telemetry, latest values, dead letters and twin inboxes, and seals what is
 * due for the twins. One tick is: read, compute in memory, one transaction, then signal. Nothing is told to anybody before it is committed.
 *
 * It owns its lanes alone, so it may keep their devices in memory. Whenever a transaction fails, all memory is dropped and read anew:
 * there is one way to start, and it is also the way to recover. The shell (infra/processes/processor.ts) calls `tick` in a loop.
 */
import { INPUT_LIMIT, seal } from '../../twin-models/core/inbox.ts'
import { applyMessages } from './apply.ts'
import { readAsked, takeAnswers, takeRequests } from './asked.ts'
import { Courier, type TwinSignaller } from './courier.ts'
import { configuredInput, type Device, inboxChange } from './device.ts'
import { DeviceCache } from './device-cache.ts'
import { type Lane, type LaneStore, LeaseLost, type TickChanges } from './lane-store.ts'
import { laneOf } from './log.ts'
import { type LogMessage, LogReader, type Read } from './log-reader.ts'
import { findPoison } from './poison.ts'
import { PropertyIds } from './property-ids.ts'
import { type MakeRules, RuleBook } from './rule-book.ts'
import { RuleClock } from './rule-clock.ts'
import { Seals } from './seals.ts'
import { SearchCopy } from './search-copy.ts'
import { Silence } from './silence.ts'
import { traceProcessing } from './trace-processing.ts'
import { isWork, newWork, touch, type Work } from './work.ts'

const DUE_PER_TICK = 1_000
/** While the log lags behind by more than this, routine news waits. */
const LAG_FIRST_MS = 2_000

/** What a tick did, for metrics. */
export interface TickReport {
  messages: LogMessage[]
  changes: TickChanges
  lagMs: number
  /** Seals made in this tick. */
  sealed: number
  /** Messages of registrations that ended. */
  dropped: number
  more: boolean
}

export interface ProcessorOptions {
  store: LaneStore
  signaller: TwinSignaller
  makeRules: MakeRules
  /** Epoch ms. */
  clock: () => number
  /** Waits between tries of a message that cannot be stored. */
  pause: (ms: number) => Promise<void>
  /** Inputs that wait for one twin (core/inbox.ts). */
  inputLimit?: number
  /** For the log: what an operator should know. */
  notice?: (message: string, error: unknown) => void
}

export class Processor {
  readonly seals = new Seals()
  readonly silence = new Silence()
  readonly ruleClock = new RuleClock()
  readonly #store: LaneStore
  readonly #courier: Courier
  readonly #clock: () => number
  readonly #pause: (ms: number) => Promise<void>
  readonly #notice: (message: string, error: unknown) => void
  readonly #reader: LogReader
  readonly #search: SearchCopy
  readonly #properties = new PropertyIds()
  readonly #lanes = new Map<number, Lane>()
  readonly #devices: DeviceCache
  readonly #rules: RuleBook
  /** Messages that were found to fail alone: they become dead letters. */
  readonly #poison = new Set<string>()
  #ticks = 0
  #stale = false

  constructor({ store, signaller, makeRules, clock, pause, inputLimit = INPUT_LIMIT, notice = () => {} }: ProcessorOptions) {
    this.#store = store
    this.#clock = clock
    this.#pause = pause
    this.#notice = notice
    this.#rules = new RuleBook(store, makeRules)
    this.#devices = new DeviceCache(store, this.#rules, inputLimit)
    this.#courier = new Courier({ store, signaller, devices: this.#devices, seals: this.seals, clock })
    this.#reader = new LogReader(store)
    this.#search = new SearchCopy(store)
  }

  get lanes(): number[] {
    return [...this.#lanes.keys()]
  }
  get cachedDevices(): number {
    return this.#devices.size
  }
  /** Epoch ms up to which everything accepted is processed, by the slowest lane; 0 while it owns none. */
  get watermark(): number {
    return this.#lanes.size === 0 ? 0 : Math.min(...[...this.#lanes.values()].map((lane) => lane.watermark))
  }

  /** Begins with lanes whose lease was just won. */
  async takeOver(lanes: Lane[]): Promise<void> {
    if (lanes.length === 0) return
    const now = this.#clock()
    for await (const devices of this.#store.laneDevices(lanes.map((lane) => lane.lane))) {
      for (const device of devices) {
        this.seals.noteRow(device, now)
        this.silence.watchRow(device)
        this.ruleClock.watchRow(device)
      }
    }
    for (const lane of lanes) this.#lanes.set(lane.lane, lane)
    this.#rules.lookAgain()
  }

  /** Forgets lanes that are no longer ours, and all that was known of their devices. */
  giveUp(lanes: number[]): void {
    for (const lane of lanes) this.#lanes.delete(lane)
    const keep = (incarnation: number): boolean => this.#lanes.has(laneOf(incarnation))
    this.#devices.retain(keep)
    this.seals.forget(keep)
    this.silence.forget(keep)
    this.ruleClock.forget(keep)
  }

  /**
   * One step. Rejects when the store failed; the next tick then first reads anew what stands there, so that a commit of unknown outcome
   * is neither repeated nor forgotten.
   */
  async tick(): Promise<TickReport | undefined> {
    if (this.#stale) await this.#restart()
    const lanes = [...this.#lanes.values()]
    if (lanes.length === 0) return undefined
    this.#ticks++
    const started = this.#clock()
    await this.#rules.refresh()
    // What others ask is read before the log: so all that was acknowledged before they asked is in the log that is read then.
    const asked = await readAsked(this.#store, this.lanes)
    const read = await this.#reader.read(lanes)
    try {
      const work = newWork(read.lanes)
      await takeAnswers(asked, this.#clock(), this.#devices, work, (device) => this.ruleClock.tell(device, this.#lanes))
      work.spans = traceProcessing(read.messages)
      await this.#takeMessages(read.messages, work)
      const lanes = new Map(read.lanes.map((lane) => [lane.lane, lane]))
      const tellTime = (device: Device): void => this.ruleClock.tell(device, lanes)
      takeRequests(asked, this.#clock(), this.#devices, work, !read.more, tellTime)
      await this.#noticeTime(read, lanes, work)
      await this.#rules.walk(lanes, this.#devices, work)
      await this.#seal(work, read)
      return await this.#commit(work, read, started)
    } catch (error) {
      this.#stale = true
      this.#reader.failed()
      if (error instanceof LeaseLost || this.#store.isTransient(error)) throw error
      this.#notice('A batch cannot be stored: looking for the message that it fails for', error)
      await this.#isolate(read, error)
      return { messages: [], changes: newWork([]).changes, lagMs: 0, sealed: 0, dropped: 0, more: true }
    }
  }

  /** Signals every seal that is due. A tick need not wait for it, and goes on beside it. */
  async deliver(): Promise<void> {
    await this.#courier.deliver()
  }

  /** All memory away, and the lanes as they stand in the store. Those that another processor owns meanwhile are gone. */
  async #restart(): Promise<void> {
    const known = new Map(this.#lanes)
    const lanes = (await this.#store.lanes([...known.keys()])).filter((lane) => known.get(lane.lane)?.epoch === lane.epoch)
    this.giveUp([...known.keys()])
    await this.takeOver(lanes)
    this.#stale = false
  }

  async #takeMessages(messages: LogMessage[], work: Work): Promise<void> {
    await this.#devices.load(messages.map((message) => message.incarnation))
    for (const { incarnation } of messages) {
      const device = this.#devices.get(incarnation)
      if (device?.inbox.features) device.inbox.graceSince = this.#lanes.get(device.lane)?.graceSince ?? 0
    }
    const isPoison = (message: LogMessage): boolean => this.#poison.size > 0 && this.#poison.has(keyOf(message))
    await applyMessages(messages, { devices: this.#devices, work, store: this.#store, properties: this.#properties, isPoison })
  }

  /** Silence, and what time means to rules. */
  async #noticeTime(read: Read, lanes: Map<number, Lane>, work: Work): Promise<void> {
    for (const stream of read.finished) await this.#loseConnections(stream, lanes, work)
    for (const clock of [this.silence, this.ruleClock]) {
      const due = clock.due(read.lanes, DUE_PER_TICK)
      await this.#devices.load(due)
      for (const incarnation of due) {
        const device = this.#devices.get(incarnation)
        if (device && clock.check(device, lanes)) touch(work, device)
      }
    }
  }

  /** The bridge that held these connections is dead: its devices count as there until now, and have one timeout to come back. */
  async #loseConnections(stream: number, lanes: Map<number, Lane>, work: Work): Promise<void> {
    const connected = await this.#store.connectedThrough(stream, [...lanes.keys()])
    await this.#devices.load(connected)
    // Those that connected in this very tick are not in the store yet.
    const devices = new Set(work.touched)
    for (const incarnation of connected) {
      const device = this.#devices.get(incarnation)
      if (device) devices.add(device)
    }
    for (const device of devices) {
      if (device.connection?.[1] !== stream) continue
      device.connection = null
      device.lastSeen = Math.max(device.lastSeen, lanes.get(device.lane)?.watermark ?? 0)
      touch(work, device)
    }
  }

  async #seal(work: Work, read: Read): Promise<void> {
    for (const device of work.touched) this.seals.note(device)
    const now = this.#clock()
    const chosen = this.seals.choose(now, lagOf(read, now) < LAG_FIRST_MS)
    await this.#devices.load(chosen)
    for (const incarnation of chosen) {
      const device = this.#devices.get(incarnation)
      if (!device?.inbox.pending || device.inbox.sealed) continue
      if (device.inbox.sealedSeq === 0) device.inbox.pending.inputs.unshift(configuredInput(device, device.inbox.pending.since))
      seal(device.inbox, now)
      device.mergedTexts.forgetAll()
      work.sealed.push(device)
      touch(work, device, true)
    }
  }

  async #commit(work: Work, read: Read, started: number): Promise<TickReport> {
    const { changes } = work
    for (const device of work.touched) changes.inboxes.push(inboxChange(device))
    if (read.entries > 0 || read.finished.length > 0 || isWork(changes)) await this.#store.commit(changes)
    for (const span of work.spans) span.end()
    this.#reader.committed(read, this.#clock() - started)
    for (const lane of read.lanes) {
      lane.stored = JSON.stringify(lane.cursors)
      if (this.#lanes.has(lane.lane)) this.#lanes.set(lane.lane, lane)
    }
    const now = this.#clock()
    for (const { device, seq } of work.answered) this.seals.answered(device.incarnation, seq, now)
    for (const { incarnation, inbox } of work.sealed)
      if (inbox.sealed) this.seals.sealed(incarnation, inbox.sealed.seq, inbox.sealed.at, now)
    for (const device of work.touched) {
      device.stored = true
      device.dirtySeal = false
      device.dirtyRules = false
      device.usedTick = this.#ticks
      this.seals.note(device)
      this.silence.watch(device)
      this.ruleClock.watch(device)
    }
    for (const reading of changes.news) this.#search.note(reading.incarnation)
    this.#search.run(this.#devices, read.messages.length)
    for (const device of work.removed) {
      this.seals.forgetOne(device.incarnation)
      this.silence.forgetOne(device.incarnation)
      this.ruleClock.forgetOne(device.incarnation)
      void this.#courier.tellRemoved(device)
    }
    this.#devices.evict(this.#ticks)
    return { messages: read.messages, changes, lagMs: lagOf(read, now), sealed: work.sealed.length, dropped: work.dropped, more: read.more }
  }

  /** Something in the batch cannot be stored. Finds out which message, by trying halves, and remembers it; the next tick goes on. */
  async #isolate(read: Read, error: unknown): Promise<void> {
    const fails = async (messages: LogMessage[]): Promise<boolean> => {
      this.#devices.clear()
      const work = newWork([...this.#lanes.values()])
      try {
        await this.#takeMessages(messages, work)
        for (const device of work.touched) work.changes.inboxes.push(inboxChange(device))
        await this.#store.commit(work.changes, true)
        return false
      } catch (failure) {
        if (failure instanceof LeaseLost || this.#store.isTransient(failure)) throw failure
        return true
      }
    }
    const poison = await findPoison(read.messages, fails, this.#pause)
    this.#devices.clear()
    if (poison.length === 0) throw error
    for (const message of poison) this.#poison.add(keyOf(message))
  }
}

function lagOf(read: Read, now: number): number {
  return read.oldest === null ? 0 : Math.max(0, now - read.oldest)
}

function keyOf({ stream, seq, index }: LogMessage): string {
  return `${stream} ${seq} ${index}`
}
