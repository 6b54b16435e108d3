/**
 * What a run of `rollout` holds: what it carries, and what its last look found. What is carried is a copy of what stands in Postgres, where each
 * step is done once under its number.
 */
import { patched, proxyActivities, proxyLocalActivities, setCurrentDetails } from '@temporalio/workflow'
import type { RolloutActivities } from '../activities/rollout-activities.ts'
import type { ForwardResult, RolloutDetails, RolloutLook, RolloutStoreStep } from '../activities/rollout-ports.ts'
import { code } from '../twin-models/core/markdown.ts'
import { afterStep, nextRolloutStep } from '../twin-models/core/rollout.ts'
import { steer } from '../twin-models/core/rollout-steer.ts'
import type { RolloutAsk, RolloutCounts, RolloutStep, Steered } from '../twin-models/core/rollout-types.ts'
import { USABLE_PROBLEMS } from '../twin-models/firmware/usable.ts'
import { ROLLOUT_BEGIN, ROLLOUT_STEP } from './activity-options.ts'
import type { RolloutCarried } from './messages.ts'
import { type Answer, showStatus } from './operators.ts'
import type { Asked } from './rollout-handlers.ts'
import { rolloutReport } from './rollout-report.ts'

const DETAILS_MS = 10_000
/** More than may wait to be told at once (infra/postgres/rollout-asked.ts), so that what is told twice is always known. */
const HEARD = 150

const { chooseForRollout, joinRollout } = proxyActivities<RolloutActivities>(ROLLOUT_BEGIN)
const { stepRollout } = proxyLocalActivities<RolloutActivities>(ROLLOUT_STEP)

type RolloutWork = Exclude<RolloutStep, { kind: 'wait' }>
export class RolloutRun {
  carried: RolloutCarried
  counts: RolloutCounts = { waves: [], ahead: 0 }
  #problem: RolloutLook['problem'] = null
  #details: RolloutDetails | undefined
  #forward: ForwardResult | undefined
  #detailsAt = 0

  constructor(carried: RolloutCarried) {
    this.carried = carried
  }

  /** Sees how its devices fare, and in detail when they have come to rest: it may be the last look for long. */
  async look(): Promise<void> {
    const detailed = this.#wantsDetails()
    await this.#see(detailed)
    if (!detailed && this.#isStill()) await this.#see(true)
  }

  /** What is to be done next, by the last look. */
  next(): RolloutStep {
    const { state, plan } = this.carried
    const step = nextRolloutStep(state, plan, this.counts, Date.now())
    const isGoing = step.kind === 'start' || step.kind === 'choose' || step.kind === 'advance'
    if (state.direction === 'back' || !this.#problem || !(isGoing || this.#holdsBack(step))) return step
    const reason = `Its firmware must not go to further devices. ${USABLE_PROBLEMS[this.#problem]}`
    return { kind: 'halt', reason, cancelRunning: plan.onHalt === 'cancel' }
  }

  /** There are devices that are to be asked later. Runs that waited on with such firmware are replayed as they were. */
  #holdsBack({ kind }: RolloutStep): boolean {
    const { status, chosen } = this.carried.state
    const isWaitedFor = kind === 'wait' && status === 'running' && chosen && this.counts.waves.some(({ waiting }) => waiting > 0)
    return isWaitedFor && patched('a rollout halts while it waits')
  }

  /** Does it, and sees what came of it. */
  async take(step: RolloutWork): Promise<void> {
    const { id, tenant, n, state, heard } = this.carried
    const { direction, back } = state
    const choice = { id, tenant, direction, ...(back && { which: back.which }) }
    let taken = step
    if (step.kind === 'choose' || step.kind === 'join' || (step.kind === 'advance' && step.join)) {
      const { problem } = await (step.kind === 'choose' ? chooseForRollout(choice) : joinRollout(choice))
      if (problem !== undefined) taken = { kind: 'halt', reason: problem, cancelRunning: false }
    }
    const after = afterStep(state, taken, this.counts, Date.now())
    const told = taken.kind === 'choose' || taken.kind === 'join' ? undefined : taken
    const detailed = taken.kind === 'halt' || taken.kind === 'done' || this.#wantsDetails()
    await this.#step({ n: n + 1, state: after, heard, ...(told && { step: told }), detailed })
  }

  /** Nothing is to be done until then: how long, and what is carried. */
  wait(step: Extract<RolloutStep, { kind: 'wait' }>): void {
    this.carried = { ...this.carried, state: afterStep(this.carried.state, step, this.counts, Date.now()) }
  }

  /** Whether it would be done now, without doing it. What is wrong with its firmware may be mended since the last look. */
  wouldRefuse(ask: RolloutAsk): string | undefined {
    return this.#steered(ask).refused
  }

  /** Does what a person asks for, by fresh counts. What was done or refused before under the same id is only answered. */
  async obey(asked: Asked): Promise<Answer> {
    const { ask, id } = asked
    for (;;) {
      const before = this.carried.heard.find((heard) => heard.id === id)
      if (before) return before
      const steered = this.#steered(ask, this.#problem)
      if (steered.refused !== undefined) return this.#noted(asked, { answer: steered.refused, isRefused: true })
      const { state, answer, effects } = steered
      const { n, heard } = this.carried
      const look = await this.#step({
        ...{ n: n + 1, state, effects: { ...effects, direction: this.carried.state.direction }, detailed: true },
        heard: [...heard, { id, answer, isRefused: false }].slice(-HEARD),
      })
      if (!look.ahead) return this.#noted(asked, { answer: excludedWords(look.excluded, ask) ?? answer, isRefused: false })
    }
  }

  report(): void {
    const { tenant, id, state } = this.carried
    setCurrentDetails(rolloutReport(this.carried, this.counts, this.#details, this.#forward))
    showStatus(tenant, state.status, { rollout: id })
  }

  #steered(ask: RolloutAsk, problem: RolloutLook['problem'] = null): Steered {
    return steer(this.carried.state, this.carried.plan, ask, this.counts, Date.now(), problem ? USABLE_PROBLEMS[problem] : undefined)
  }

  async #see(detailed: boolean): Promise<void> {
    const { n, state, heard } = this.carried
    await this.#step({ n, state, heard, detailed })
  }

  #wantsDetails(): boolean {
    return this.#isStill() || Date.now() - this.#detailsAt >= DETAILS_MS
  }

  #isStill(): boolean {
    return this.counts.ahead === 0 && this.counts.waves.every(({ underway }) => underway === 0)
  }

  /** Another run of this rollout was further: what it carried is taken over, and what was to be done is not. */
  async #step(step: RolloutStoreStep): Promise<RolloutLook> {
    const { id, tenant } = this.carried
    const look = await stepRollout({ id, tenant, ...step })
    const { state, heard } = look.ahead ?? step
    const { preview, ...about } = this.carried.about
    this.carried = { ...this.carried, n: look.n, state, heard, about: { ...about, ...(preview && !state.chosen && { preview }) } }
    this.counts = look.counts
    this.#problem = look.problem
    if (look.details) {
      this.#details = look.details
      this.#forward = look.forward
      this.#detailsAt = Date.now()
    }
    return look
  }

  #noted({ ask, by, id }: Asked, answer: Answer): Answer {
    const who = by === undefined ? 'in the Temporal UI' : `by ${code(by)}`
    const note = `${ask.action}, asked ${who}${answer.isRefused ? ', was refused' : ''}. ${answer.answer}`
    const heard = [...this.carried.heard.filter((heard) => heard.id !== id), { id, ...answer }].slice(-HEARD)
    this.carried = { ...this.carried, heard, note }
    return answer
  }
}

function excludedWords(excluded: RolloutLook['excluded'], ask: RolloutAsk): string | undefined {
  if (excluded === undefined || ask.action !== 'exclude') return undefined
  return {
    excluded: `${ask.device} is left out: it is not asked.`,
    cancelled: `${ask.device} is left out: its update is cancelled.`,
    ended: `${ask.device} has no part in it any more: there is nothing to exclude.`,
    unknown: `There is no device ${ask.device}: nothing was excluded.`,
  }[excluded]
}
