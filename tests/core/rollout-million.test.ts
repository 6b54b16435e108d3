/** A million devices through the same machine: neither what a rollout carries nor what a step costs grows with the fleet. */
import { expect, test } from 'vitest'
import { afterStep, initialRollout, nextRolloutStep } from '../../twin-models/core/rollout.ts'
import { steer } from '../../twin-models/core/rollout-steer.ts'
import type { RolloutCounts, RolloutPlan, RolloutState, WaveCounts } from '../../twin-models/core/rollout-types.ts'
import { EMPTY_WAVE, summed, waveSizes } from '../../twin-models/core/rollout-waves.ts'

const MILLION = 1_000_000
const RULES = [{ percent: 1 }, { percent: 5 }, { percent: 25 }, { percent: 100 }]
const INSTALL_MS = 120_000
const LONGEST_WAIT_MS = 30_000

const plan: RolloutPlan = {
  gate: 0.95,
  failures: { share: 0.1, minimum: 10 },
  soakMs: 0,
  pace: { perSecond: 1_000, atOnce: MILLION },
  onHalt: 'continue',
  lateJoiners: 'ignore',
  approval: 'none',
  by: 'somebody',
}

/** As Postgres answers: numbers a wave, and batches on their way. `failing`: of each thousand. */
class CountedFleet {
  readonly total: number
  readonly #failing: number
  #waves: WaveCounts[] = []
  #batches: Array<{ wave: number; count: number; endsAt: number }> = []
  #ended = 0

  constructor(total: number, failing: number) {
    this.total = total
    this.#failing = failing
  }

  choose(): void {
    this.#waves = waveSizes(this.total, RULES).map((total) => ({ ...EMPTY_WAVE, total, waiting: total }))
  }

  start(upTo: number, count: number, now: number): void {
    let rest = count
    for (const [wave, counts] of this.#waves.slice(0, upTo + 1).entries()) {
      const some = Math.min(rest, counts.waiting)
      counts.waiting -= some
      counts.underway += some
      rest -= some
      if (some > 0) this.#batches.push({ wave, count: some, endsAt: now + INSTALL_MS })
    }
    expect(rest).toBe(0)
  }

  look(now: number): RolloutCounts {
    while ((this.#batches[0]?.endsAt ?? Number.POSITIVE_INFINITY) <= now) {
      const { wave, count } = this.#batches.shift()!
      const failed = Math.floor(((this.#ended + count) * this.#failing) / 1_000) - Math.floor((this.#ended * this.#failing) / 1_000)
      this.#ended += count
      const counts = this.#waves[wave]!
      counts.underway -= count
      counts.healthy += count - failed
      counts.failed += failed
    }
    return { waves: this.#waves.map((counts) => ({ ...counts })), ahead: 0 }
  }
}

interface Outcome {
  state: RolloutState
  all: WaveCounts
  steps: { start: number; wait: number; other: number }
  /** Characters of JSON. */
  largest: number
  tookMs: number
}

/** `atHalt`: what a person does then, each time. */
function roll(total: number, failing: number, atHalt: 'resume' | 'cancel'): Outcome {
  const fleet = new CountedFleet(total, failing)
  const steps = { start: 0, wait: 0, other: 0 }
  let state = initialRollout(plan)
  let [now, largest] = [0, 0]
  for (;;) {
    const counts = fleet.look(now)
    const step = nextRolloutStep(state, plan, counts, now)
    state = JSON.parse(JSON.stringify(afterStep(state, step, counts, now)))
    largest = Math.max(largest, JSON.stringify(state).length)
    steps[step.kind === 'start' || step.kind === 'wait' ? step.kind : 'other']++
    if (step.kind === 'done') return { state, all: summed(counts.waves), steps, largest, tookMs: now }
    if (step.kind === 'choose') fleet.choose()
    if (step.kind === 'start') fleet.start(step.wave, step.count, now)
    if (step.kind === 'wait') now += step.ms ?? 0
    if (step.kind !== 'halt') continue
    const steered = steer(state, plan, { action: atHalt }, counts, now)
    if (steered.refused !== undefined) expect.fail(steered.refused)
    state = steered.state
  }
}

test('a million devices are a step a second’s worth of them, and what is carried is as small as for a thousand', () => {
  const [few, many] = [roll(1_000, 20, 'resume'), roll(MILLION, 20, 'resume')]
  expect(many.state).toMatchObject({ status: 'completed', wave: 3 })
  expect(many.all).toMatchObject({ total: MILLION, healthy: 980_000, failed: 20_000, waiting: 0, underway: 0, left: 0 })
  // A wave ends with a part of a second's worth.
  expect(many.steps.start).toBeLessThanOrEqual(MILLION / plan.pace.perSecond + RULES.length)
  expect(many.steps.other).toBe(few.steps.other)
  // After each start a wait for its second; then, wave by wave, a look a second at most until those under way have ended.
  const watched = RULES.length * (INSTALL_MS / 1_000 + 10)
  expect(many.steps.wait).toBeLessThanOrEqual(many.steps.start + watched)
  // Its numbers have more digits.
  expect(many.largest).toBeLessThan(few.largest + 40)
  expect(many.largest).toBeLessThan(400)
  // No faster than its pace, and not much slower.
  expect(many.tookMs).toBeGreaterThanOrEqual((MILLION / plan.pace.perSecond - RULES.length) * 1_000)
  expect(many.tookMs).toBeLessThan((MILLION / plan.pace.perSecond) * 1_000 + RULES.length * (INSTALL_MS + 2 * LONGEST_WAIT_MS))
})

test('of a million devices bad firmware reaches those that were under way when the first ones had failed', () => {
  const bad = roll(MILLION, 300, 'cancel')
  expect(bad.state).toMatchObject({ status: 'cancelled', wave: 0 })
  expect(bad.all.healthy + bad.all.failed).toBeLessThanOrEqual(MILLION / 100)
  const patient = roll(MILLION, 120, 'resume')
  expect(patient.state).toMatchObject({ status: 'completed' })
  expect(patient.all).toMatchObject({ healthy: 880_000, failed: 120_000 })
  expect(patient.largest).toBeLessThan(500)
})
