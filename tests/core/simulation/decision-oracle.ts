/** Watches every decision as it becomes true: a twin decides exactly what one decides that is fed with every message singly. */
import type { Decision } from '../../../activities/ports.ts'
import { consume } from '../../../twin-models/core/consume.ts'
import type { Pending } from '../../../twin-models/core/inbox.ts'
import { unpack } from '../../../twin-models/core/merged.ts'
import type { Batch, TwinEvent, Wake } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import type { AlarmOracle } from './alarm-oracle.ts'
import type { AskedOracle } from './asked-oracle.ts'
import { isAsked } from './asked-reference.ts'
import { isOfSingles, partOf, type ReferenceTwin } from './reference-twin.ts'
import { isOfRules } from './rule-reference.ts'
import type { World } from './world.ts'

export class DecisionOracle {
  readonly counts = { backstops: 0, decisions: 0, events: 0 }
  readonly #world: World
  readonly #db: MemoryDatabase
  readonly #twins: ReadonlyMap<number, ReferenceTwin>
  readonly #seals: ReadonlyMap<string, string>
  /** Devices of which more waited than fits: what was merged then is decided on in fewer steps. */
  readonly #full: ReadonlySet<number>
  readonly #asked: AskedOracle
  readonly #alarms: AlarmOracle
  /** Per device and part: how many events the real twin has decided. */
  readonly #decided = new Map<number, Map<string, number>>()

  constructor(
    world: World,
    db: MemoryDatabase,
    twins: ReadonlyMap<number, ReferenceTwin>,
    seals: ReadonlyMap<string, string>,
    full: ReadonlySet<number>,
    asked: AskedOracle,
    alarms: AlarmOracle,
  ) {
    this.#asked = asked
    this.#alarms = alarms
    this.#full = full
    this.#world = world
    this.#db = db
    this.#twins = twins
    this.#seals = seals
  }

  /** What its twin would decide on does not wait for a window: not once the inbox knows what the twin knows. */
  expectUrgent(incarnation: number): void {
    const row = this.#db.inbox.get(incarnation)
    const state = this.#db.devices.get(incarnation)?.state
    if (!row?.pending || row.sealed !== null || row.urgent || !state) return
    for (const answer of this.#db.answers.values()) if (answer.incarnation === incarnation) return
    const { events } = consume(JSON.parse(state), { seq: row.sealedSeq + 1, batch: batchOf(JSON.parse(row.pending)) }, 0)
    const wake: Wake = JSON.parse(row.wake)
    // A device on an update may go away for a moment.
    const mayWait = wake.mayRestart && events.some(isGoodbye)
    // What time made of its rules meanwhile its lane tells next.
    const until = Math.max(this.#db.lanes.get(row.lane)!.watermark, (JSON.parse(row.pending) as Pending).lastSeenAt)
    const isDue = row.dueAt !== null && row.dueAt <= until
    if (events.some((event) => !(mayWait && isGoodbye(event)) && !((mayWait || isDue) && isOfRules(event))))
      this.#world.fail('what would be decided is urgent', `device ${incarnation}: ${row.pending} would decide ${JSON.stringify(events)}`)
  }

  /** A decision was just written. */
  decided(decision: Decision, before: { revision: number; decidedSeq: number }): void {
    const { incarnation, seq, events, expectedRevision } = decision
    const name = `device ${incarnation}`
    this.counts.decisions++
    this.#world.noteOf(incarnation, () => `decision ${JSON.stringify(decision)}`)
    if (expectedRevision !== before.revision) this.#world.fail('revisions rise by one', name)
    if (seq !== before.decidedSeq && seq !== before.decidedSeq + 1)
      this.#world.fail('each seal is consumed by exactly one decision', `${name}: ${seq} after ${before.decidedSeq}`)
    if (seq > 0 && !this.#seals.has(`${incarnation} ${seq}`)) this.#world.fail('only what is sealed is decided on', `${name}: ${seq}`)
    for (const event of events)
      if (!isAsked(event) && !event.kind.startsWith('update-') && !isOfRules(event)) this.#compare(incarnation, event)
    const reference = this.#twins.get(incarnation)
    const sealed = seq > before.decidedSeq ? this.#seals.get(`${incarnation} ${seq}`) : undefined
    this.#alarms.decided(decision, sealed, reference?.ruled)
    if (reference) this.#asked.decided(decision, reference.asked, sealed)
  }

  /** A seal is on its way to its twin. */
  signalled(incarnation: number, seq: number, batch: string): void {
    if (this.#seals.get(`${incarnation} ${seq}`) !== batch)
      this.#world.fail('told is only what is committed, always the same bytes', `device ${incarnation}, seal ${seq}`)
  }

  /** How many events of each part the twin has decided. */
  decidedOf(incarnation: number): Map<string, number> {
    const known = this.#decided.get(incarnation) ?? new Map<string, number>()
    this.#decided.set(incarnation, known)
    return known
  }

  #compare(incarnation: number, event: TwinEvent): void {
    this.counts.events++
    const part = partOf(event)
    const counts = this.decidedOf(incarnation)
    const n = counts.get(part) ?? 0
    counts.set(part, n + 1)
    if (this.#full.has(incarnation) && !isOfSingles(part)) return
    const twin = this.#twins.get(incarnation)
    if (twin && isBackstop(event) && this.#takeBackstop(twin, event, n)) return
    const expected = twin?.decided.get(part)?.[n]
    // What follows a backstop does not lie before it.
    const since = part === 'presence' ? (twin?.backstopAt ?? 0) : 0
    const wanted = expected === undefined ? 'nothing' : text({ ...expected, at: Math.max(expected.at, since) })
    if (wanted !== text(event))
      this.#world.fail(
        'a twin decides what one fed singly decides',
        `device ${incarnation} decides\n  ${text(event)}\nexpected\n  ${wanted}`,
      )
  }

  /**
   * The twin's own timer came before the news of a silence that its lane had found: the same, by other means. Or before its lane looked for it, which
   * waits for the slowest of its owner's: then it is one by the watermark of its own. False: by none.
   */
  #takeBackstop(twin: ReferenceTwin, event: TwinEvent, n: number): boolean {
    const { watermark, graceSince } = this.#db.lanes.get(twin.incarnation % 16)!
    const { at } = event
    const isNews = twin.decided.get('presence')?.[n] === undefined
    const isDue = twin.connection === null && Math.max(twin.lastSeen, graceSince) + twin.presenceTimeoutMs < at && at <= watermark
    if (isNews && isDue) twin.fallSilent(at)
    const expected = twin.decided.get('presence')?.[n]
    if (!expected) return false
    this.counts.backstops++
    const isSilence = expected.kind === 'presence-changed' && expected.reason === 'silence' && expected.at <= watermark
    if (!isSilence) this.#world.fail('the backstop decides only what the lanes found', `device ${twin.incarnation}: ${text(event)}`)
    twin.backstopAt = at
    this.#alarms.blur(twin.incarnation)
    return true
  }
}

function isBackstop(event: TwinEvent): boolean {
  return event.kind === 'presence-changed' && event.reason === 'backstop'
}

/** As a seal would hold it. */
function isGoodbye(event: TwinEvent): boolean {
  return event.kind === 'presence-changed' && event.after === 'offline'
}

function batchOf({ messages, lastSeenAt, merged, inputs, since }: Pending): Batch {
  const unpacked = Object.entries(merged).map(([name, tuple]) => [name, unpack(tuple, since)])
  return { messages, lastSeenAt, merged: Object.fromEntries(unpacked), inputs }
}

/** What is compared of an event: all but its cause, and the time of what new settings decided, which nobody observes. */
function text(event: TwinEvent): string {
  const { kind, at, cause, ...rest } = event
  const isBySettings = kind === 'configured' || (kind === 'range-changed' && cause.by === 'lane')
  const sorted = Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)))
  return JSON.stringify({ kind, at: isBySettings ? 0 : at, ...sorted })
}
