/**
 * Watches every commit as it becomes true, and holds it to what must always be so (docs/architecture.md §3). It goes by the ingest log
 * alone: a cursor that moves says which messages were processed, and in which order. decision-oracle.ts watches the twins, asked-oracle.ts
 * what is asked of them, alarm-oracle.ts their alarms.
 */
import { featuresOf } from '../../../api/ingest/feature-texts.ts'
import { FINISHED, type TickChanges } from '../../../api/ingest/lane-store.ts'
import { HEARTBEAT_LANE, type Head } from '../../../api/ingest/log.ts'
import { isFeature } from '../../../twin-models/core/features.ts'
import type { InboxFeatures } from '../../../twin-models/core/inbox-features.ts'
import type { Batch, TwinInput, TwinState } from '../../../twin-models/core/types.ts'
import { modelOf } from '../../../twin-models/devices/index.ts'
import type { DeviceModel } from '../../../twin-models/model.ts'
import type { EntryRecord, MemoryDatabase, RequestRecord } from '../../support/memory-database.ts'
import { AlarmOracle } from './alarm-oracle.ts'
import { AskedOracle } from './asked-oracle.ts'
import { AskedReference } from './asked-reference.ts'
import { DecisionOracle } from './decision-oracle.ts'
import { InboxOracle } from './inbox-oracle.ts'
import { type ProcessedMessage, ReferenceTwin } from './reference-twin.ts'
import { RowInputs } from './row-inputs.ts'
import type { CommitWatcher } from './troubled-store.ts'
import type { World } from './world.ts'

export class Oracle implements CommitWatcher {
  readonly twins = new Map<number, ReferenceTwin>()
  /** Bytes of every seal that was committed. */
  readonly seals = new Map<string, string>()
  readonly counts = { messages: 0, dropped: 0, silences: 0, seals: 0 }
  readonly decisions: DecisionOracle
  readonly inboxes: InboxOracle
  readonly asked: AskedOracle
  readonly alarms: AlarmOracle
  /** Its device is told that a message found its inbox full. */
  onRefused: (incarnation: number) => void = () => {}
  readonly #world: World
  readonly #db: MemoryDatabase
  /** By processor and device: the model as it last read it. */
  readonly #models = new Map<string, DeviceModel>()
  /** What this tick put into inboxes that their rows alone say. */
  readonly #put = new RowInputs()

  constructor(world: World, db: MemoryDatabase, inputLimit: number) {
    this.#world = world
    this.#db = db
    this.inboxes = new InboxOracle(world, inputLimit)
    this.asked = new AskedOracle(world, db)
    this.alarms = new AlarmOracle(world)
    this.decisions = new DecisionOracle(world, db, this.twins, this.seals, this.inboxes.full, this.asked, this.alarms)
  }

  devicesRead(processor: string, incarnations: number[]): void {
    for (const incarnation of incarnations) {
      const record = this.#db.devices.get(incarnation)
      if (record) this.#models.set(`${processor} ${incarnation}`, modelOf(record.model)!)
    }
  }

  /** Before the commit is true: the database still says what was before. */
  committing(processor: string, changes: TickChanges): void {
    this.inboxes.begin(changes)
    this.#put.read(changes, this.#db)
    // Rules that a first batch begins with come before all that is said or asked.
    for (const incarnation of this.#put.first) this.#put.take(this.#twin(incarnation).ruled, incarnation, ({ kind }) => kind === 'rules')
    this.#takeRequests(processor, changes, ({ kind }) => kind === 'configured')
    for (const { lane, cursors, watermark } of changes.lanes) {
      const before = this.#db.lanes.get(lane)!
      const old = JSON.parse(before.cursors) as { [stream: string]: number }
      if (watermark < before.watermark) this.#world.fail('a watermark never moves back', `lane ${lane}`)
      for (const stream of Object.keys(old))
        if (!(stream in cursors)) this.#world.fail('cursors never move back', `lane ${lane} forgets ${stream}`)
      for (const [stream, cursor] of Object.entries(cursors))
        this.#takeStream(processor, changes, lane, Number(stream), old[stream] ?? 0, cursor)
      for (const [stream, cursor] of Object.entries(cursors)) {
        if (cursor !== FINISHED || old[stream] === FINISHED) continue
        for (const twin of this.twins.values()) if (twin.incarnation % 16 === lane) twin.loseStream(Number(stream), watermark)
      }
    }
    // All before their watermarks is processed: what is asked, and silence, come after what time has made of that.
    for (const { incarnation, lane } of changes.inboxes) {
      const { watermark, graceSince } = changes.lanes.find((each) => each.lane === lane)!
      if (watermark > 0) this.twins.get(incarnation)?.ruled.pass(watermark, graceSince)
    }
    this.#takeRequests(processor, changes, ({ kind }) => kind !== 'configured')
    this.#takeInboxes(changes)
  }

  committed(_processor: string, changes: TickChanges): void {
    for (const incarnation of changes.removed) this.asked.commands.check(incarnation)
    for (const { incarnation, body } of changes.errors) if (JSON.parse(body).code === 'inbox-full') this.onRefused(incarnation)
    for (const { incarnation } of changes.inboxes) this.decisions.expectUrgent(incarnation)
    for (const { lane, cursors, watermark } of changes.lanes) {
      const late = this.#unprocessed(lane, cursors).find(({ stream, at }) => at < watermark && at >= this.#openedAt(stream))
      if (late)
        this.#world.fail(
          'all before the watermark is processed',
          `lane ${lane}: ${late.stream}/${late.seq} of ${late.at}, watermark ${watermark}`,
        )
    }
  }

  /** Of what its references did. Those of removed devices are gone. */
  countsOfRules(): { [name: string]: number } {
    const all = [...this.twins.values()].map(({ ruled }) => ruled.counts)
    const sum = (of: (counts: (typeof all)[number]) => number): number => all.reduce((total, counts) => total + of(counts), 0)
    return { lateMemories: sum(({ late }) => late), timedReadings: sum(({ timed }) => timed) }
  }

  /** New settings are taken before the messages of the tick, everything else after them. */
  #takeRequests(processor: string, changes: TickChanges, areNow: (request: RequestRecord) => boolean): void {
    for (const incarnation of changes.removed) this.twins.delete(incarnation)
    for (const { id } of changes.requests) {
      const request = this.#db.requests.get(id)!
      if (!areNow(request)) continue
      if (request.seq !== null) this.#world.fail('a request is sealed once', id)
      const twin = this.#twin(request.incarnation)
      const { settings } = this.#model(processor, request.incarnation)
      this.asked.counts.asked++
      twin.asked.request(request, settings)
      if (request.kind === 'configured') {
        const { watermark, graceSince } = this.#db.lanes.get(request.incarnation % 16)!
        if (watermark > 0) twin.ruled.pass(watermark, graceSince)
        twin.feed([{ kind: 'configured', at: 0, settings }])
        this.#put.take(twin.ruled, twin.incarnation, (input) => input.kind === 'configured')
      } else {
        twin.given.inputs++
        this.#put.take(twin.ruled, twin.incarnation, (input) => 'request' in input && input.request === id)
      }
    }
    if (changes.refusedRequests.length > 0) this.#world.fail('every request is understood', changes.refusedRequests.join())
  }

  #takeStream(processor: string, changes: TickChanges, lane: number, stream: number, from: number, to: number): void {
    if (from === FINISHED ? to !== FINISHED : to !== FINISHED && to < from)
      this.#world.fail('cursors never move back', `lane ${lane}, stream ${stream}: ${from} to ${to}`)
    if (from === FINISHED) return
    const record = this.#db.streams.get(stream)!
    if (to === FINISHED && record.closedAt === null) this.#world.fail('only a closed stream is finished', `stream ${stream}`)
    const end = to === FINISHED ? record.entries.length : to
    for (let i = from; i < end; i++) if (record.entries[i]!.lane === lane) this.#takeEntry(processor, changes, record.entries[i]!)
  }

  #takeEntry(processor: string, changes: TickChanges, entry: EntryRecord): void {
    for (const message of messagesOf(entry)) {
      const { incarnation } = message
      this.counts.messages++
      // Whatever is processed touches its device's row.
      if (changes.inboxes.some((change) => change.incarnation === incarnation)) {
        this.#world.noteOf(incarnation, () => `${processor} ${JSON.stringify(message)}`)
        const refused = this.inboxes.refuses(message)
        const { graceSince } = this.#db.lanes.get(entry.lane)!
        const hasEvent = this.#twin(incarnation).take(message, this.#model(processor, incarnation), refused, graceSince)
        if (refused && !hasEvent)
          this.#world.fail('only what is not merged finds an inbox full', `device ${incarnation}: ${message.payload}`)
        continue
      }
      this.counts.dropped++
      if (this.#db.devices.has(incarnation)) this.#world.fail('no message of a device is dropped', `device ${incarnation}`)
    }
  }

  #takeInboxes({ inboxes, lanes, removed }: TickChanges): void {
    for (const change of inboxes) {
      const { incarnation, sealedSeq, pending } = change
      if (removed.includes(incarnation)) continue
      const twin = this.#twin(incarnation)
      const sealed = change.full ? change.sealed : null
      const before = this.#db.inbox.get(incarnation)
      const isNew = sealed !== null && sealed !== before?.sealed
      if (isNew) this.#takeSeal(twin, sealedSeq, sealed, before?.sealedSeq ?? 0, before?.sealed ?? null)
      else if (sealed === null && sealedSeq !== (before?.sealedSeq ?? 0))
        this.#world.fail('seals have rising numbers', `device ${incarnation}`)
      const { watermark, graceSince } = lanes.find(({ lane }) => lane === change.lane)!
      const silences = silencesAt(watermark, isNew ? sealed : null) + silencesAt(watermark, pending)
      if (silences > silencesAt(watermark, before?.pending ?? null)) this.#takeSilence(twin, watermark)
      this.#put.take(twin.ruled, incarnation, ({ kind }) => kind === 'rules')
      const features = featuresOf({
        features: change.ruled ? change.features : (before?.features ?? null),
        featureStates: change.stated ? change.featureStates : (before?.featureStates ?? null),
        featureValues: change.featureValues,
      })
      if (isNew) twin.ruled.settle()
      this.inboxes.take(twin, change, isNew)
      this.alarms.checkRow(incarnation, twin.ruled, features, graceSince, this.inboxes.full.has(incarnation))
      this.asked.checkWords(twin.asked, isNew ? change : { ...change, sealed: null })
      // Nothing waits for it: what it knows now is right, whatever was merged on the way.
      if (pending === null && (change.full ? sealed : before?.sealed) === null)
        this.#recover(twin, features, (change.dueAt ?? Infinity) < watermark)
    }
  }

  #takeSeal(twin: ReferenceTwin, seq: number, sealed: string, beforeSeq: number, before: string | null): void {
    const { incarnation } = twin
    this.counts.seals++
    if (seq !== beforeSeq + 1)
      this.#world.fail('seals have rising numbers', `device ${incarnation}: ${seq} after ${beforeSeq}, or other bytes`)
    const decidedSeq = this.#db.devices.get(incarnation)?.decidedSeq
    if (before !== null && decidedSeq !== undefined && decidedSeq < beforeSeq)
      this.#world.fail('a seal waits for the answer to the one before', `device ${incarnation}: ${seq}`)
    this.seals.set(`${incarnation} ${seq}`, sealed)
    this.#world.noteOf(incarnation, () => `seal ${seq} ${sealed}`)
    if (twin.isStarted) return
    const first = (JSON.parse(sealed) as Batch).inputs[0]
    if (first?.kind !== 'configured') this.#world.fail('the first batch begins with the settings', `device ${incarnation}`)
    twin.start(first.settings, first.at)
  }

  /** The twin goes offline only if nothing that was accepted before the watermark is younger than its timeout. */
  #takeSilence(twin: ReferenceTwin, watermark: number): void {
    this.counts.silences++
    const { incarnation, connection, lastSeen, presenceTimeoutMs } = twin
    const name = `device ${incarnation}`
    if (connection !== null) this.#world.fail('no connected device is silent', name)
    const grace = this.#db.lanes.get(incarnation % 16)!.graceSince
    if (Math.max(lastSeen, grace) + presenceTimeoutMs >= watermark) this.#world.fail('no twin is offline whose device spoke', name)
    twin.fallSilent(watermark)
  }

  #recover(twin: ReferenceTwin, features: InboxFeatures | null, isDue: boolean): void {
    const { incarnation } = twin
    const text = this.#db.devices.get(incarnation)?.state
    if (!text) return
    this.alarms.checkRest(incarnation, JSON.parse(text))
    if (!isDue && this.alarms.settle(incarnation)) twin.ruled.adopt(JSON.parse(text), features, this.alarms.decidedOf(incarnation))
    if (!this.inboxes.full.delete(incarnation)) return
    const state = JSON.parse(text) as TwinState
    const [knows, expected] = [valuesOf(state), valuesOf(twin.state)]
    if (knows !== expected)
      this.#world.fail(
        'the newest values are known, whatever was merged',
        `device ${incarnation} knows\n  ${knows}\nexpected\n  ${expected}`,
      )
    twin.adopt(state, this.decisions.decidedOf(incarnation))
  }

  #unprocessed(lane: number, cursors: { [stream: string]: number }): EntryRecord[] {
    const found: EntryRecord[] = []
    for (const { stream, entries } of this.#db.streams.values()) {
      const cursor = cursors[stream] ?? 0
      if (cursor === FINISHED) continue
      const next = entries.slice(cursor, cursor + 20).find((entry) => entry.lane === lane)
      if (next) found.push(next)
    }
    return found
  }

  #openedAt(stream: number): number {
    return this.#db.streams.get(stream)!.openedAt
  }

  #model(processor: string, incarnation: number): DeviceModel {
    return this.#models.get(`${processor} ${incarnation}`)!
  }

  #twin(incarnation: number): ReferenceTwin {
    let twin = this.twins.get(incarnation)
    if (twin === undefined) {
      const fail = (detail: string): never =>
        this.#world.fail('a twin is given all that was said and asked, in order', `device ${incarnation}: ${detail}`)
      twin = new ReferenceTwin(incarnation, new AskedReference(fail))
      this.twins.set(incarnation, twin)
    }
    return twin
  }
}

export function messagesOf(entry: EntryRecord): Array<ProcessedMessage & { incarnation: number }> {
  if (entry.lane === HEARTBEAT_LANE) return []
  let offset = 0
  return (JSON.parse(entry.heads) as Head[]).map(([incarnation, kind, receivedAt, length, name, connection]) => {
    const payload = Buffer.from(entry.body.subarray(offset, offset + length)).toString()
    offset += length
    return { incarnation, stream: entry.stream, kind, name: name ?? undefined, receivedAt, connection: connection ?? undefined, payload }
  })
}

/** What a twin knows of its properties, but for what was decided on the way. */
function valuesOf({ values, ranges }: TwinState): string {
  const watched = Object.entries(ranges).map(([name, { value, newest }]) => [`range of ${name}`, value, newest])
  const own = Object.entries(values).filter(([name]) => !isFeature(name))
  return JSON.stringify([...own, ...watched].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)))
}

function silencesAt(at: number, json: string | null): number {
  if (!json?.includes('"silent"')) return 0
  return (JSON.parse(json) as { inputs: TwinInput[] }).inputs.filter((input) => input.kind === 'silent' && input.at === at).length
}
