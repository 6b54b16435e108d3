/**
 * What a run of `deviceTwin` holds: the twin's state, its two alarms, and how a decision of the pure core becomes true. The state is a copy of
 * what stands in Postgres (docs/architecture.md §3.9).
 */
import { proxyLocalActivities, setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow'
import type { TwinActivities } from '../activities/create-activities.ts'
import type { DecisionOutcome } from '../activities/ports.ts'
import { consume, consumeOwn, type Step } from '../twin-models/core/consume.ts'
import { nextDeadline } from '../twin-models/core/deadline.ts'
import { decidedPart } from '../twin-models/core/decided.ts'
import { initialState } from '../twin-models/core/initial.ts'
import { reportOf } from '../twin-models/core/report.ts'
import type { Batch, ToldUpdate, TwinState } from '../twin-models/core/types.ts'
import { upgrade } from '../twin-models/core/upgrade.ts'
import { wakeOf } from '../twin-models/core/wake.ts'
import type { TwinKey } from '../twin-models/ids.ts'
import { DECISION_WRITE } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import type { InboxSignal, TwinAnswer, TwinEnd, TwinStart } from './messages.ts'
import { searchAttributesOf } from './search-attributes.ts'

const SHORTEST_BACKSTOP_MS = 6 * 3_600_000
const BACKSTOP_TIMEOUTS = 10
const { writeDecision, confirmDecision, lastSeen, sentCommands, sentUpdate } = proxyLocalActivities<TwinActivities>(DECISION_WRITE)

export type Taken = 'going on' | 'gone'

export class Twin {
  readonly #key: TwinKey
  #state: TwinState
  /** Set when it is off and never moved. When it rings too early, it is set again. */
  readonly #backstop = new Alarm()
  /** The earliest deadline of commands, wishes and the update. */
  readonly #deadline = new Alarm()
  /** Postgres said that the device is there: not asked again before this. */
  #trustedUntil = 0

  constructor(key: TwinKey, carried: TwinState | undefined) {
    this.#key = key
    this.#state = carried ? upgrade(carried) : initialState()
  }

  /** One seal, one decision write that states its seq. The same seal, come again meanwhile, is answered by that write. */
  async takeSeal(queue: InboxSignal[]): Promise<Taken> {
    const seal = queue.shift() as InboxSignal
    const taken = seal.seq > this.#state.seq ? await this.#decideOnSeal(seal) : await this.#confirm()
    for (let i = queue.length - 1; i >= 0; i--) if (queue[i]!.seq <= seal.seq) queue.splice(i, 1)
    return taken
  }

  async #decideOnSeal(seal: InboxSignal): Promise<Taken> {
    for (;;) {
      const outcome = await this.#write(consume(this.#state, seal, Date.now()), seal.batch)
      if (outcome === 'gone') return 'gone'
      if (seal.seq <= this.#state.seq) return 'going on'
    }
  }

  /** A seal that was consumed comes again: its answer was lost, or Postgres was set back. Either way Postgres tells. */
  async #confirm(): Promise<Taken> {
    return this.#adopt(await confirmDecision(this.#key, this.#state.revision))
  }

  get alarmRang(): boolean {
    return this.#deadline.rang || this.#backstop.rang
  }

  setAlarms(): void {
    if (!this.#deadline.rang) this.#deadline.set(nextDeadline(this.#state))
    if (this.#backstop.rang || this.#backstop.at !== undefined || this.#state.presence.status !== 'online') return
    this.#backstop.set(this.#backstopAt())
  }

  takeAlarm(): Promise<Taken> {
    return this.#deadline.rang ? this.#takeDeadline() : this.#takeBackstop()
  }

  /** What was not to be sent twice ends by whether it was sent at all, and an update by how far its device is, which Postgres knows. */
  async #takeDeadline(): Promise<Taken> {
    this.#deadline.quieten()
    const now = Date.now()
    if ((nextDeadline(this.#state) ?? Infinity) > now) return 'going on'
    const mustAsk = this.#state.commands.some(({ repeatable, expiresAt }) => !repeatable && expiresAt <= now)
    const sent = mustAsk ? await sentCommands(this.#key) : []
    if (sent === null) return 'gone'
    const update = await this.#sentUpdate(now)
    if (update === null) return 'gone'
    const step = consumeOwn(this.#state, { kind: 'due', at: now, sent, ...(update && { update }) }, now)
    return step.events.length > 0 ? this.#write(step) : 'going on'
  }

  /** Asked only for an update that was let go and is due. Null when the device is gone. */
  async #sentUpdate(now: number): Promise<ToldUpdate | null | undefined> {
    const { update } = this.#state
    return update?.phase === 'released' && update.deadlineAt <= now ? sentUpdate(this.#key, update.id) : undefined
  }

  /** The last resort against a silence that nobody noticed. It asks Postgres first, and writes only if something is decided. */
  async #takeBackstop(): Promise<Taken> {
    this.#backstop.quieten()
    if (this.#state.presence.status !== 'online' || this.#backstopAt() > Date.now()) return 'going on'
    const seen = await lastSeen(this.#key)
    if (seen === null) return 'gone'
    const { lastSeenAt, connected, watermark } = seen
    const step = consumeOwn(this.#state, { kind: 'backstop', at: watermark, lastSeenAt, connected }, Date.now())
    if (step.events.length > 0) return this.#write(step)
    this.#trustedUntil = Date.now() + this.#backstopMs()
    return 'going on'
  }

  /** The deadline is absolute: silence begins at the last sign of life that the twin knows of. */
  #backstopAt(): number {
    const { lastSeenAt, since } = this.#state.presence
    return Math.max(Math.max(lastSeenAt, since) + this.#backstopMs(), this.#trustedUntil)
  }

  #backstopMs(): number {
    return Math.max(BACKSTOP_TIMEOUTS * this.#state.settings.presenceTimeoutMs, SHORTEST_BACKSTOP_MS)
  }

  async #write({ state, events, answers, effects }: Step, batch?: Batch): Promise<Taken> {
    const outcome = await writeDecision({
      ...this.#key,
      expectedRevision: this.#state.revision,
      seq: state.seq,
      state,
      events,
      wake: wakeOf(state),
      answers,
      ...(effects ? { effects } : {}),
      ...(batch?.trace === undefined ? {} : { trace: batch.trace }),
      ...acceptedAt(batch),
    })
    if (outcome.outcome !== 'written') return this.#adopt(outcome)
    this.#state = state
    this.report()
    this.#index()
    return 'going on'
  }

  #adopt(outcome: DecisionOutcome): Taken {
    if (outcome.outcome === 'gone') return 'gone'
    if (outcome.outcome === 'ahead') {
      this.#state = outcome.state ? upgrade(outcome.state) : initialState()
      this.report()
    }
    return 'going on'
  }

  /** Only what changed, and in one command: it costs an event. */
  #index(): void {
    const known = workflowInfo().typedSearchAttributes
    const changed = searchAttributesOf(this.#key, this.#state).filter(({ key, value }) => (known.get(key) ?? null) !== value)
    if (changed.length > 0) upsertSearchAttributes(changed)
  }

  report(): void {
    setCurrentDetails(reportOf(this.#key, this.#state))
  }

  answer(): TwinAnswer {
    return { decided: decidedPart(this.#state), seq: this.#state.seq, revision: this.#state.revision }
  }

  async exists(): Promise<boolean> {
    return (await lastSeen(this.#key)) !== null
  }

  carry(): TwinStart {
    return { ...this.#key, carried: this.#state }
  }

  end(ended: TwinEnd['ended']): TwinEnd {
    const { tenant, device, incarnation } = this.#key
    const name = `device ${device} of tenant ${tenant}, registration ${incarnation}`
    const detail = ended === 'removed' ? `The registration of ${name}, ended.` : `There is no ${name}: its twin ends.`
    setCurrentDetails(detail)
    return { ended, detail }
  }
}

const FROM_DEVICE: ReadonlySet<string> = new Set(['reading', 'life', 'hello', 'event', 'reported', 'command-answer', 'update-answer'])

/** Receipt of the oldest message that was worth a place of its own. What came by the lane or by a request was not accepted. */
function acceptedAt(batch: Batch | undefined): { acceptedAt?: number } {
  let oldest = Infinity
  for (const { kind, at } of batch?.inputs ?? []) {
    if (FROM_DEVICE.has(kind)) oldest = Math.min(oldest, at)
  }
  return oldest === Infinity ? {} : { acceptedAt: oldest }
}
