/**
 * One device and rule in a world of its own: alarms come and go, people and other systems do things or nothing, runs of the workflow are lost, reset
 * and start again from what is stored. What is stored takes each step once, by its number, as Postgres does (infra/postgres/ticket-step.ts).
 */
import { expect } from 'vitest'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import { initialTicket, nextTicketStep, wakeOf } from '../../twin-models/core/ticket.ts'
import { steerTicket } from '../../twin-models/core/ticket-steer.ts'
import type {
  SeenAlarm,
  SeenPrediction,
  TicketAsk,
  TicketChange,
  TicketOrigin,
  TicketPlan,
  TicketSight,
  TicketState,
} from '../../twin-models/core/ticket-types.ts'

export type Happening =
  | { what: 'raise' | 'worsen'; severity: Severity }
  | { what: 'clear' | 'silence' | 'remove' }
  | { what: 'ask'; ask: TicketAsk; origin?: Omit<TicketOrigin, 'at'> & { ago: number } }

export interface Moment {
  afterMs: number
  happens: Happening
}

/** What goes wrong with the steps of a run, one after the other, again and again. `reset`: so many steps back. */
export type Trouble = 'none' | 'lost' | { reset: number }

interface Stored {
  plan: TicketPlan
  first: number
  n: number
  state: TicketState
  /** State after each step, for resets. */
  before: TicketState[]
  changes: TicketChange[]
  maintenance: number | null
  prediction: { askedAt: number } | undefined
}

/** A run of the workflow: a copy of what is stored, that may be behind. */
interface Run {
  n: number
  state: TicketState
}

const MOST_STEPS = 60
const ALARM_TEXT = 'Vibration is 9 mm/s'

export class TicketWorld {
  now = 1_700_000_000_000
  readonly tickets: Stored[] = []
  readonly alarms: SeenAlarm[] = []
  readonly answers: string[] = []
  /** Waits that rang. */
  rings = 0
  readonly #plan: Omit<TicketPlan, 'severity' | 'createdAt'>
  readonly #troubles: Trouble[]
  readonly #predictions: SeenPrediction[]
  #run: Run | undefined
  #isThere = true
  #steps = 0
  #asked = 0

  constructor(plan: Omit<TicketPlan, 'severity' | 'createdAt'>, troubles: Trouble[], predictions: SeenPrediction[]) {
    this.#plan = plan
    this.#troubles = troubles
    this.#predictions = predictions
  }

  /** All of it, and then so much more time in which nothing happens from outside. */
  play(moments: Moment[], thenMs: number): void {
    for (const { afterMs, happens } of moments) {
      this.#pass(this.now + afterMs)
      this.#happen(happens)
      this.#work()
    }
    this.#pass(this.now + thenMs)
  }

  get open(): Stored | undefined {
    return this.tickets.find(({ state }) => wakeOf(state, this.tickets[0]!.plan) !== undefined)
  }

  #pass(until: number): void {
    for (;;) {
      const at = this.#work()
      if (at === undefined || at > until) break
      this.rings++
      this.now = at
    }
    this.now = until
  }

  #happen(happens: Happening): void {
    const newest = this.alarms.at(-1)
    const isOpen = newest !== undefined && newest.clearedAt === undefined
    switch (happens.what) {
      case 'raise':
        if (isOpen || !this.#isThere) return
        this.alarms.push({ n: this.alarms.length + 1, severity: happens.severity, text: ALARM_TEXT, raisedAt: this.now })
        this.#openOrJoin()
        return
      case 'worsen':
        if (isOpen) newest.severity = happens.severity
        return
      case 'clear':
        if (isOpen) newest.clearedAt = this.now
        return
      case 'remove':
        this.#isThere = false
        return
      case 'ask':
        this.#ask(happens.ask, happens.origin)
    }
  }

  /** The action of the rule. */
  #openOrJoin(): void {
    if (this.open) return
    const alarm = this.alarms.at(-1)!
    const plan = { ...this.#plan, severity: alarm.severity, createdAt: this.now }
    const state = initialTicket(plan)
    this.tickets.push({ plan, first: alarm.n, n: 0, state, before: [state], changes: [], maintenance: null, prediction: undefined })
    this.#run = { n: 0, state }
  }

  #ask(ask: TicketAsk, origin?: Omit<TicketOrigin, 'at'> & { ago: number }): void {
    const ticket = this.open
    if (!ticket) return
    const { ago, ...from } = origin ?? { via: 'rest' as const, ago: undefined }
    const whole: TicketOrigin = { ...from, ...(ago !== undefined && { at: this.now - ago, messageId: `m-${++this.#asked}` }) }
    const run = this.#run!
    const steered = steerTicket(run.state, ticket.plan, ask, whole, this.now)
    this.answers.push(steered.refused ?? steered.answer)
    expect(this.answers.at(-1)).toMatch(/^.{6,}\.$/s)
    if (steered.refused === undefined) this.#do(ticket, run, steered.change)
  }

  /** What it does by itself at this time. Gives when it goes on; undefined: nothing is open. */
  #work(): number | undefined {
    for (let steps = 0; ; steps++) {
      const ticket = this.open
      if (!ticket) return undefined
      expect(steps, 'it comes to rest at each time').toBeLessThan(MOST_STEPS)
      const run = this.#run!
      const sight = this.#sightOf(ticket)
      const step = nextTicketStep(run.state, ticket.plan, sight, this.now)
      if (step.kind === 'wait') {
        expect(step.until, 'it waits for a time to come').toBeGreaterThan(this.now)
        expect(Number.isFinite(step.until)).toBe(true)
        const stands = nextTicketStep(ticket.state, ticket.plan, sight, this.now)
        // A run that is behind learns of it by its next step.
        if (run.n === ticket.n) expect(stands).toEqual(step)
        return step.until
      }
      expect(step.kind).toBe('change')
      if (step.kind === 'change') this.#do(ticket, run, step.change)
    }
  }

  #do(ticket: Stored, run: Run, change: TicketChange): void {
    const trouble = this.#troubles[this.#steps++ % this.#troubles.length] ?? 'none'
    if (run.n < ticket.n) {
      // Another run was further: what it carried is taken over, and nothing is done.
      this.#run = { n: ticket.n, state: copy(ticket.state) }
      return
    }
    this.#store(ticket, change)
    if (trouble === 'lost') return
    if (trouble !== 'none') {
      const n = Math.max(0, ticket.n - trouble.reset)
      this.#run = { n, state: copy(ticket.before[n]!) }
    } else this.#run = { n: ticket.n, state: copy(ticket.state) }
  }

  #store(ticket: Stored, change: TicketChange): void {
    const { state } = change
    expect(JSON.stringify(state).length, 'what is carried is bounded').toBeLessThan(8_000)
    expect(state.stories, 'the story only grows').toBe(ticket.state.stories + change.story.length)
    expect(new Set(change.notices.map(({ target }) => target)).size, 'one message a target and step').toBe(change.notices.length)
    ticket.n++
    ticket.changes.push(change)
    ticket.state = copy(state)
    ticket.before.push(ticket.state)
    if (change.maintenance !== undefined) ticket.maintenance = change.maintenance
    if (change.predict) ticket.prediction = { askedAt: this.now }
    if (state.status === 'closed') this.#checkClosed(ticket)
  }

  #checkClosed({ plan, first, before }: Stored): void {
    const { doneAt } = before.at(-2)!
    expect(doneAt, 'only what was done is closed').toBeDefined()
    const own = this.alarms.filter(({ n }) => n >= first)
    const quiet = Math.max(doneAt!, ...own.map(({ clearedAt = Number.POSITIVE_INFINITY }) => clearedAt))
    expect(this.now - quiet, 'its condition stayed away').toBeGreaterThanOrEqual(plan.verifyForMs)
    expect(own.filter(({ raisedAt }) => raisedAt > doneAt!)).toEqual([])
  }

  #sightOf({ first, prediction }: Stored): TicketSight {
    const own = this.alarms.filter(({ n }) => n >= first)
    const severities: Severity[] = ['critical', 'major', 'minor', 'warning']
    const worst = severities.find((severity) => own.some((alarm) => alarm.severity === severity))
    return {
      ...{ isThere: this.#isThere, alarms: own.length, ...(worst && { worst }) },
      ...{ recent: own.slice(-10).reverse().map(copy), seen: JSON.stringify(own) },
      ...(prediction && { prediction: this.#predictions[prediction.askedAt % this.#predictions.length]! }),
    }
  }
}

function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}
