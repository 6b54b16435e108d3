/**
 * The processor: takes what was accepted from the ingest log to telemetry, latest values, dead letters and twin inboxes, and seals what is
 * due for the twins. One tick is: read, compute in memory, one transaction, then signal. Nothing is told to anybody before it is committed.
 *
 * It owns its lanes alone, so it may keep their devices in memory. Whenever a transaction fails, all memory is dropped and read anew:
 * there is one way to start, and it is also the way to recover. The shell (infra/processes/processor.ts) calls `tick` in a loop.
 */
import { addInput, answered, seal } from '../../twin-models/core/inbox.ts'
import { applyMessages } from './apply.ts'
import { configuredInput, type Device, deviceOf, inboxChange } from './device.ts'
import { DeviceCache } from './device-cache.ts'
import { type Answer, type Lane, type LaneStore, LeaseLost, type RemovedDevice, type TickChanges, type TwinRequest } from './lane-store.ts'
import { laneOf } from './log.ts'
import { type LogMessage, LogReader, type Read } from './log-reader.ts'
import { findPoison } from './poison.ts'
import { PropertyIds } from './property-ids.ts'
import { Seals } from './seals.ts'
import { SearchCopy } from './search-copy.ts'
import { Silence } from './silence.ts'
import { traceProcessing } from './trace-processing.ts'
import { isWork, newWork, touch, type Work } from './work.ts'

const ANSWERS_PER_TICK = 1_000
const REQUESTS_PER_TICK = 500
const REMOVALS_PER_TICK = 200
const SILENT_PER_TICK = 1_000
/** While the log lags behind by more than this, routine news waits. */
const LAG_FIRST_MS = 2_000

/** How sealed batches reach their twins. infra/temporal/twin-signaller.ts */
export interface TwinSignaller {
  /** True when the twin's server took it. Never rejects. */
  deliver(twin: Pick<Device, 'tenant' | 'device' | 'incarnation' | 'model'>, seq: number, batch: string): Promise<boolean>
  /** True when the twin was told that its registration ended, or there is none. Never rejects. */
  remove(twin: { tenant: string; device: string; incarnation: number }): Promise<boolean>
}

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
  /** Epoch ms. */
  clock: () => number
  /** Waits between tries of a message that cannot be stored. */
  pause: (ms: number) => Promise<void>
  /** For the log: what an operator should know. */
  notice?: (message: string, error: unknown) => void
}

interface Asked {
  answers: Answer[]
  requests: TwinRequest[]
  removed: RemovedDevice[]
}

export class Processor {
  readonly seals = new Seals()
  readonly silence = new Silence()
  readonly #store: LaneStore
  readonly #signaller: TwinSignaller
  readonly #clock: () => number
  readonly #pause: (ms: number) => Promise<void>
  readonly #notice: (message: string, error: unknown) => void
  readonly #reader: LogReader
  readonly #search: SearchCopy
  readonly #properties = new PropertyIds()
  readonly #lanes = new Map<number, Lane>()
  readonly #devices: DeviceCache
  /** Messages that were found to fail alone: they become dead letters. */
  readonly #poison = new Set<string>()
  #ticks = 0
  #stale = false

  constructor({ store, signaller, clock, pause, notice = () => {} }: ProcessorOptions) {
    this.#store = store
    this.#signaller = signaller
    this.#clock = clock
    this.#pause = pause
    this.#notice = notice
    this.#devices = new DeviceCache(store)
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
      }
    }
    for (const lane of lanes) this.#lanes.set(lane.lane, lane)
  }

  /** Forgets lanes that are no longer ours, and all that was known of their devices. */
  giveUp(lanes: number[]): void {
    for (const lane of lanes) this.#lanes.delete(lane)
    const keep = (incarnation: number): boolean => this.#lanes.has(laneOf(incarnation))
    this.#devices.retain(keep)
    this.seals.forget(keep)
    this.silence.forget(keep)
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
    // What others ask is read before the log: so all that was acknowledged before they asked is in the log that is read then.
    const asked = await this.#readAsked()
    const read = await this.#reader.read(lanes)
    try {
      const work = newWork(read.lanes)
      await this.#takeAnswers(asked, work)
      work.spans = traceProcessing(read.messages)
      await this.#takeMessages(read.messages, work)
      this.#takeRequests(asked.requests, read, work)
      await this.#findSilence(read, work)
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

  /** Signals every seal that is due. Resolves when each was taken or refused; a tick need not wait for it, and goes on beside it. */
  async deliver(): Promise<void> {
    const due = this.seals.toSend(this.#clock())
    if (due.length === 0) return
    const missing = due.filter(({ incarnation }) => !this.#devices.get(incarnation)).map(({ incarnation }) => incarnation)
    // Not into the cache: only a tick may fill it, or it could bring back what a tick has changed meanwhile.
    const rows = missing.length === 0 ? [] : await this.#store.devices(missing).catch(() => [])
    const loaded = new Map(rows.map((row) => [row.incarnation, deviceOf(row)]))
    await Promise.all(
      due.map(({ incarnation, seq }) => this.#signal(this.#devices.get(incarnation) ?? loaded.get(incarnation), incarnation, seq)),
    )
  }

  async #signal(device: Device | undefined, incarnation: number, seq: number): Promise<void> {
    const sealed = device?.inbox.sealed
    // A tick may just have answered it, or sealed the next one and not yet committed that.
    const taken = device && sealed?.seq === seq ? await this.#signaller.deliver(device, seq, sealed.batch) : true
    this.seals.sent(incarnation, seq, taken, this.#clock())
  }

  /** All memory away, and the lanes as they stand in the store. Those that another processor owns meanwhile are gone. */
  async #restart(): Promise<void> {
    const known = new Map(this.#lanes)
    const lanes = (await this.#store.lanes([...known.keys()])).filter((lane) => known.get(lane.lane)?.epoch === lane.epoch)
    this.giveUp([...known.keys()])
    await this.takeOver(lanes)
    this.#stale = false
  }

  /** What others ask of the twins, what the twins answered, and who is gone. */
  async #readAsked(): Promise<Asked> {
    const lanes = this.lanes
    const [answers, requests, removed] = await Promise.all([
      this.#store.answers(lanes, ANSWERS_PER_TICK),
      this.#store.requests(lanes, REQUESTS_PER_TICK),
      this.#store.removed(lanes, REMOVALS_PER_TICK),
    ])
    return { answers, requests, removed }
  }

  async #takeAnswers({ answers, requests, removed }: Asked, work: Work): Promise<void> {
    for (const row of removed) {
      this.#devices.remove(row.incarnation)
      this.seals.forgetOne(row.incarnation)
      this.silence.forgetOne(row.incarnation)
      work.removed.push(row)
      work.changes.removed.push(row.incarnation)
    }
    // A device whose model changed is read anew, before anything else is done with it. What is in memory is committed.
    for (const { kind, incarnation } of requests) if (kind === 'configured') this.#devices.forget(incarnation)
    await this.#devices.load([...answers, ...requests].map((row) => row.incarnation))
    for (const { id, incarnation, seq, wake } of answers) {
      work.changes.answers.push(id)
      const device = this.#devices.get(incarnation)
      if (!device) continue
      answered(device.inbox, seq, JSON.parse(wake))
      device.mergedTexts.forgetAll()
      work.answered.push({ device, seq })
      touch(work, device, true)
    }
    // New settings come before the messages, which are read by the new model already.
    for (const request of requests) if (request.kind === 'configured') this.#takeRequest(request, work)
  }

  /** After the messages, so that strong consistency sees all that was acknowledged before it was asked for. */
  #takeRequests(requests: TwinRequest[], read: Read, work: Work): void {
    if (read.more) return
    for (const request of requests) if (request.kind !== 'configured') this.#takeRequest(request, work)
  }

  #takeRequest({ id, kind, incarnation }: TwinRequest, work: Work): void {
    const device = this.#devices.get(incarnation)
    if (device === undefined) {
      // Written while its device was removed: it is answered as the others were then.
      work.changes.removed.push(incarnation)
      return
    }
    const at = this.#clock()
    addInput(device.inbox, kind === 'configured' ? configuredInput(device, at) : { kind: 'deliver', at, request: id })
    work.changes.requests.push({ id, seq: device.inbox.sealedSeq + 1 })
    touch(work, device)
  }

  async #takeMessages(messages: LogMessage[], work: Work): Promise<void> {
    await this.#devices.load(messages.map((message) => message.incarnation))
    const isPoison = (message: LogMessage): boolean => this.#poison.size > 0 && this.#poison.has(keyOf(message))
    await applyMessages(messages, { devices: this.#devices, work, store: this.#store, properties: this.#properties, isPoison })
  }

  async #findSilence(read: Read, work: Work): Promise<void> {
    const lanes = new Map(read.lanes.map((lane) => [lane.lane, lane]))
    for (const stream of read.finished) await this.#loseConnections(stream, lanes, work)
    const due = this.silence.due(read.lanes, SILENT_PER_TICK)
    await this.#devices.load(due)
    for (const incarnation of due) {
      const device = this.#devices.get(incarnation)
      if (device && this.silence.check(device, lanes)) touch(work, device)
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
      device.usedTick = this.#ticks
      this.seals.note(device)
      this.silence.watch(device)
    }
    for (const reading of changes.news) this.#search.note(reading.incarnation)
    this.#search.run(this.#devices, read.messages.length)
    for (const device of work.removed) void this.#tellRemoved(device)
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

  async #tellRemoved(device: { tenant: string; device: string; incarnation: number }): Promise<void> {
    if (await this.#signaller.remove(device)) await this.#store.removalTold(device.incarnation).catch(() => {})
  }
}

function lagOf(read: Read, now: number): number {
  return read.oldest === null ? 0 : Math.max(0, now - read.oldest)
}

function keyOf({ stream, seq, index }: LogMessage): string {
  return `${stream} ${seq} ${index}`
}
