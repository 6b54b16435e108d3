/**
 * Drives a rollout over a fleet in memory as its workflow does, and checks every step against what it promises. Its state goes through JSON each
 * time, as at continue-as-new; a step may be lost and done again.
 */
import { expect } from 'vitest'
import { afterStep, initialRollout, nextRolloutStep } from '../../twin-models/core/rollout.ts'
import { steer } from '../../twin-models/core/rollout-steer.ts'
import type { RolloutAsk, RolloutCounts, RolloutPlan, RolloutState, RolloutStep, WaveCounts } from '../../twin-models/core/rollout-types.ts'
import type { RolloutFleet } from './rollout-fleet.ts'

export interface Asked {
  afterMs: number
  ask: RolloutAsk
}

export interface Troubles {
  /** One a step, again and again: lost and done again so much later. Null: it was not lost. */
  lost: Array<number | null>
  /** What a person does in the end when it stands still. */
  atLast: 'resume' | 'rollback' | 'cancel'
}

const MOST_STEPS = 20_000

export class RolloutRun {
  readonly fleet: RolloutFleet
  readonly plan: RolloutPlan
  state: RolloutState
  now = 1_000_000
  steps = 0
  halts = 0
  readonly answers: string[] = []
  readonly #troubles: Troubles
  /** Failures that stood when it was resumed last, by wave. */
  #acknowledged: number[] = []
  #mayPass = false
  #failedAtResume = -1
  #lastStart = { at: Number.NEGATIVE_INFINITY, count: 0 }

  constructor(fleet: RolloutFleet, plan: RolloutPlan, troubles: Troubles) {
    this.fleet = fleet
    this.plan = plan
    this.#troubles = troubles
    this.state = initialRollout(plan)
  }

  run(script: Asked[]): void {
    const waiting = [...script]
    let nextAt = this.now + (waiting[0]?.afterMs ?? 0)
    for (;;) {
      expect(++this.steps, 'it comes to an end').toBeLessThan(MOST_STEPS)
      const counts = this.#look()
      if (this.state.status === 'halted') this.#checkHalted()
      checkSums(counts, this.fleet.targets[this.state.direction].length)
      if (waiting.length > 0 && nextAt <= this.now) {
        this.ask(waiting.shift()!.ask, counts)
        nextAt = this.now + (waiting[0]?.afterMs ?? 0)
        continue
      }
      const step = nextRolloutStep(this.state, this.plan, counts, this.now)
      this.#check(step, counts)
      if (step.kind === 'wait') this.#carry(step, counts, this.now)
      if (step.kind === 'wait' && (step.ms !== undefined || waiting.length > 0)) {
        expect(step.ms ?? 1).toBeGreaterThan(0)
        this.now = Math.min(this.now + (step.ms ?? Number.POSITIVE_INFINITY), waiting.length > 0 ? nextAt : Number.POSITIVE_INFINITY)
      } else if (step.kind === 'wait') this.#atLast(counts)
      else if (step.kind !== 'done') this.#take(step, counts)
      else {
        this.#carry(step, counts, this.now)
        // What has ended is steered only by those who come after.
        if (waiting.length === 0) return
        this.now = nextAt
      }
    }
  }

  ask(ask: RolloutAsk, counts: RolloutCounts): void {
    const before = this.state
    const steered = steer(before, this.plan, ask, counts, this.now)
    this.answers.push(steered.refused ?? steered.answer)
    expect(this.answers.at(-1)).toMatch(/^[\w ].{5,}\.$/)
    if (steered.refused !== undefined) return
    for (let again = 0; again < (this.#lost() === null ? 1 : 2); again++) this.fleet.affect(steered.effects, before.direction, this.now)
    this.state = steered.state
    if (this.state.status === 'halted') this.fleet.stopUntold(this.state.direction, this.now)
    if (ask.action === 'advance') this.#mayPass = true
    if (ask.action === 'rollback' && before.direction === 'forward') [this.#acknowledged, this.#failedAtResume] = [[], -1]
    if ((ask.action === 'resume' && before.status === 'halted') || (ask.action === 'rollback' && before.direction === 'back')) {
      this.#acknowledged = counts.waves.map(({ failed }) => failed)
      this.#failedAtResume = failedOf(counts)
    }
  }

  #atLast(counts: RolloutCounts): void {
    const { status, direction } = this.state
    const { atLast } = this.#troubles
    const by = 'somebody else'
    const before = this.answers.length
    if (status === 'draft') this.ask({ action: 'approve', by }, counts)
    else if (atLast === 'rollback' && direction === 'forward' && this.state.chosen) this.ask({ action: 'rollback' }, counts)
    else this.ask({ action: atLast === 'cancel' ? 'cancel' : 'resume' }, counts)
    expect(this.answers.length).toBe(before + 1)
    expect(this.state.status, this.answers.at(-1)).not.toBe(status)
  }

  #look(): RolloutCounts {
    const { status, direction } = this.state
    return this.fleet.look(direction, this.now, status === 'cancelled')
  }

  #checkHalted(): void {
    for (const { status, toldAt, isStopped } of this.fleet.targets[this.state.direction])
      if (status === 'underway') expect(toldAt <= this.now || isStopped, 'a halt stops what no device was told of').toBe(true)
  }

  /** Done, perhaps lost, and then done again later: with what was decided the first time. */
  #take(step: RolloutStep, counts: RolloutCounts): void {
    const at = this.now
    this.#do(step, at)
    const lostFor = this.#lost()
    if (lostFor !== null) {
      this.now += lostFor
      this.#look()
      this.#do(step, at)
    }
    this.#carry(step, counts, at)
  }

  #do(step: RolloutStep, at: number): void {
    const { direction, back } = this.state
    if (step.kind === 'choose') this.fleet.choose(step.direction, step.which, this.now)
    if (step.kind === 'join' || (step.kind === 'advance' && step.join)) this.fleet.join(direction, back?.which, this.now)
    if (step.kind === 'halt') this.fleet.stopUntold(direction, this.now)
    if (step.kind === 'halt' && step.cancelRunning) this.fleet.affect({ cancelRunning: true }, direction, this.now)
    if (step.kind !== 'start') return
    for (const target of this.fleet.start(direction, step.wave, step.count, at, this.now)) {
      expect(target.wave).toBeLessThanOrEqual(this.state.wave)
      expect(target.starts, 'nobody is asked twice, but after it was busy or stopped').toBe(target.refusals + target.stops + 1)
    }
    const isStamped = this.fleet.targets[direction].filter(({ stamp }) => stamp === at).length
    expect(isStamped).toBeLessThanOrEqual(step.count)
  }

  #carry(step: RolloutStep, counts: RolloutCounts, at: number): void {
    this.state = JSON.parse(JSON.stringify(afterStep(this.state, step, counts, at)))
    expect(JSON.stringify(this.state).length).toBeLessThan(1_000)
    if (step.kind === 'halt') this.halts++
    if (step.kind === 'halt' || step.kind === 'advance') this.#mayPass = false
  }

  #check(step: RolloutStep, counts: RolloutCounts): void {
    const { status, chosen, wave } = this.state
    const isWorking = status === 'running' || status === 'rolling-back'
    if (step.kind === 'choose' || step.kind === 'start' || step.kind === 'advance' || step.kind === 'join')
      expect(isWorking, `${step.kind} while it is ${status}`).toBe(true)
    if (chosen && (isWorking || status === 'paused'))
      expect(step.kind === 'halt', `${JSON.stringify(step)} by ${JSON.stringify(counts)} in wave ${wave}`).toBe(this.#isTooMuch(counts))
    if (step.kind === 'halt') expect(failedOf(counts), 'the same failures do not halt again').not.toBe(this.#failedAtResume)
    if (step.kind === 'advance') {
      for (let passed = wave + (this.#mayPass ? 1 : 0); passed < step.to; passed++)
        expect(this.#gate(counts.waves[passed]!, passed), `the gate of wave ${passed}`).toBe('reached')
    }
    if (step.kind === 'start') this.#checkPace(step.count, counts)
    if (step.kind === 'done') {
      expect(counts.ahead + counts.waves.reduce((sum, { waiting, underway }) => sum + waiting + underway, 0)).toBe(0)
      if (step.status === 'completed') expect(wave).toBe(Math.max(0, counts.waves.length - 1))
    }
  }

  #checkPace(count: number, { waves }: RolloutCounts): void {
    const { perSecond, atOnce } = this.state.pace
    expect(count).toBeGreaterThan(0)
    expect(count).toBeLessThanOrEqual(Math.max(1, perSecond))
    expect(waves.reduce((sum, { underway }) => sum + underway, 0) + count).toBeLessThanOrEqual(atOnce)
    const gap = this.now - this.#lastStart.at
    expect(gap * perSecond, 'at most so many a second').toBeGreaterThanOrEqual(Math.max(1, Math.floor(perSecond)) * 1_000 - 1e-6)
    this.#lastStart = { at: this.now, count }
  }

  /** In whole numbers, as rollout.ts says it. */
  #isTooMuch({ waves }: RolloutCounts): boolean {
    const { share, minimum, count } = this.plan.failures
    const current = waves[this.state.wave]!
    const failed = current.failed - this.#acknowledgedOf(this.state.wave)
    const judged = current.healthy + failed
    if (judged >= minimum && failed * 1_000 > Math.round(share * 1_000) * judged) return true
    const unforgiven = waves.reduce((sum, wave, i) => sum + wave.failed - this.#acknowledgedOf(i), 0)
    return (count !== undefined && unforgiven > count) || this.#gate(current, this.state.wave) === 'lost'
  }

  #gate({ total, left, healthy, waiting, underway }: WaveCounts, wave: number): 'reached' | 'open' | 'lost' {
    const gate = Math.round(this.plan.gate * 1_000)
    const wanted = gate * (total - left - this.#acknowledgedOf(wave))
    if (healthy * 1_000 >= wanted) return 'reached'
    return (healthy + waiting + underway) * 1_000 < wanted ? 'lost' : 'open'
  }

  #acknowledgedOf(wave: number): number {
    return this.#acknowledged[wave] ?? 0
  }

  #lost(): number | null {
    const { lost } = this.#troubles
    return lost.length === 0 ? null : lost[this.steps % lost.length]!
  }
}

function failedOf({ waves }: RolloutCounts): number {
  return waves.reduce((sum, { failed }) => sum + failed, 0)
}

function checkSums({ waves }: RolloutCounts, targets: number): void {
  for (const { total, waiting, underway, healthy, failed, left } of waves) expect(waiting + underway + healthy + failed + left).toBe(total)
  expect(waves.reduce((sum, { total }) => sum + total, 0)).toBe(targets)
}
