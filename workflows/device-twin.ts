/**
 * The twin of one device: one long-lived workflow (docs/architecture.md §5).
 *
 *   signal inbox ──► queue ──► consume (decide, evolve: pure) ──► decision write (local activity) ──► state
 *
 * The state here is a copy: Postgres is the arbiter. A write that finds Postgres elsewhere gives back what stands there, and the twin
 * adopts it and decides anew what that state has not consumed (§3.9). So a task that runs again or a run that was reset costs nothing.
 */
import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  log,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import type { TwinActivities } from '../activities/create-activities.ts'
import type { DecisionOutcome } from '../activities/ports.ts'
import { consume, consumeOwn, type Step } from '../twin-models/core/consume.ts'
import { decidedPart } from '../twin-models/core/decided.ts'
import { initialState } from '../twin-models/core/initial.ts'
import { reportOf } from '../twin-models/core/report.ts'
import type { Batch, TwinState } from '../twin-models/core/types.ts'
import { upgrade } from '../twin-models/core/upgrade.ts'
import { wakeOf } from '../twin-models/core/wake.ts'
import { type TwinKey, twinWorkflowId } from '../twin-models/ids.ts'
import { DECISION_WRITE } from './activity-options.ts'
import {
  INBOX_SIGNAL,
  type InboxSignal,
  REMOVED_SIGNAL,
  type RemovedSignal,
  TWIN_QUERY,
  type TwinAnswer,
  type TwinEnd,
  type TwinStart,
} from './messages.ts'
import { searchAttributesOf } from './search-attributes.ts'

/**
 * A run continues as new from here: 20 decisions. What that costs does not show while the twin is cached (11.7 ms of the worker's CPU a
 * decision, 12.1 with runs of 300 events); a twin that must be replayed costs 52 ms, and 74 with runs of 200 (two busy cores).
 * Another number is another order of commands for runs under way: guard a change with `patched`.
 */
const LONGEST_HISTORY = 100
const SHORTEST_BACKSTOP_MS = 6 * 3_600_000
const BACKSTOP_TIMEOUTS = 10

const inboxSignal = defineSignal<[InboxSignal]>(INBOX_SIGNAL)
const removedSignal = defineSignal<[RemovedSignal?]>(REMOVED_SIGNAL)
const twinQuery = defineQuery<TwinAnswer>(TWIN_QUERY)
const { writeDecision, confirmDecision, lastSeen } = proxyLocalActivities<TwinActivities>(DECISION_WRITE)

export async function deviceTwin(start: TwinStart): Promise<TwinEnd> {
  const twin = new Twin(checkedKey(start), start.carried)
  const queue: InboxSignal[] = []
  let removed = false

  const take = (signal: InboxSignal): void => {
    if (isSeal(signal)) queue.push(signal)
  }
  const remove = (): void => {
    removed = true
  }
  setHandler(inboxSignal, take, {
    description: 'One seal of the twin inbox, {seq, batch}. Sent by the processor; a seq that was consumed changes nothing.',
  })
  setHandler(removedSignal, remove, {
    description: 'The registration of the device ended: the twin completes. Sent by the processor after DELETE /v1/devices/{id}.',
  })
  setHandler(twinQuery, () => twin.answer(), {
    description: 'The decided part of the twin document, the newest seal consumed and the revision.',
  })
  twin.report()

  // The signal of a signalWithStart is there after this turn. Without one somebody started the twin by hand, perhaps of no device.
  await Promise.resolve()
  if (!start.carried && queue.length === 0 && !removed && !(await twin.exists())) return twin.end('gone')

  for (;;) {
    twin.armBackstop()
    await condition(() => queue.length > 0 || removed || twin.backstopIsDue)
    if (removed) return twin.end('removed')
    const outcome = queue.length > 0 ? await twin.takeSeal(queue) : await twin.takeBackstop()
    if (outcome === 'gone') return twin.end('gone')
    if (workflowInfo().historyLength >= LONGEST_HISTORY && queue.length === 0 && !removed && allHandlersFinished()) {
      await continueAsNew<typeof deviceTwin>(twin.carry())
    }
  }
}

type Taken = 'going on' | 'gone'

class Twin {
  readonly #key: TwinKey
  #state: TwinState
  /** The backstop: one timer, started when none runs and never moved. When it fires too early, the next one is started. */
  #timer: 'none' | 'running' | 'fired' = 'none'
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

  get backstopIsDue(): boolean {
    return this.#timer === 'fired'
  }

  armBackstop(): void {
    if (this.#timer !== 'none' || this.#state.presence.status !== 'online') return
    this.#timer = 'running'
    const fired = () => {
      this.#timer = 'fired'
    }
    // Rejected when an operator cancels the run. The loop above ends by that; a rejection that nobody takes would fail every task from then on.
    sleep(Math.max(this.#backstopAt() - Date.now(), 1)).then(fired, () => {})
  }

  /** The last resort against a silence that nobody noticed. It asks Postgres first, and writes only if something is decided. */
  async takeBackstop(): Promise<Taken> {
    this.#timer = 'none'
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

  async #write({ state, events, answers }: Step, batch?: Batch): Promise<Taken> {
    const outcome = await writeDecision({
      ...this.#key,
      expectedRevision: this.#state.revision,
      seq: state.seq,
      state,
      events,
      wake: wakeOf(state),
      answers,
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

/** An operator may start a twin by hand: under its own id only, or two runs would decide for one device. */
function checkedKey(start: TwinStart | undefined): TwinKey {
  const { tenant, device, incarnation } = start ?? {}
  if (typeof tenant !== 'string' || typeof device !== 'string' || !Number.isSafeInteger(incarnation)) {
    throw ApplicationFailure.nonRetryable('deviceTwin takes one object: {"tenant": "...", "device": "...", "incarnation": 1}', 'invalid')
  }
  const key = { tenant, device, incarnation: incarnation as number }
  const { workflowId } = workflowInfo()
  if (workflowId !== twinWorkflowId(key)) {
    throw ApplicationFailure.nonRetryable(`The twin of this device has the id ${twinWorkflowId(key)}, not ${workflowId}`, 'invalid')
  }
  return key
}

/** The signal can be sent by hand too; what is no seal is left aside, in words. */
function isSeal(signal: InboxSignal | undefined): signal is InboxSignal {
  const { seq, batch } = signal ?? {}
  const good = Number.isSafeInteger(seq) && typeof batch?.merged === 'object' && batch.merged !== null && Array.isArray(batch.inputs)
  if (!good) log.warn('An inbox signal that is no seal was ignored: it takes {"seq": 1, "batch": {...}}')
  return good
}

/** Receipt of the oldest message that was worth a place of its own. What came by the lane or by a request was not accepted. */
function acceptedAt(batch: Batch | undefined): { acceptedAt?: number } {
  let oldest = Infinity
  for (const { kind, at } of batch?.inputs ?? []) {
    if (kind === 'reading' || kind === 'life' || kind === 'hello' || kind === 'event') oldest = Math.min(oldest, at)
  }
  return oldest === Infinity ? {} : { acceptedAt: oldest }
}
