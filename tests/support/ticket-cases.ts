/** What tables of tickets begin with: a plan, what is seen of one, and how one stands after steps and asks. */
import { initialTicket, nextTicketStep } from '../../twin-models/core/ticket.ts'
import { steerTicket } from '../../twin-models/core/ticket-steer.ts'
import {
  DEFAULT_DEADLINES,
  type SeenAlarm,
  type TicketAsk,
  type TicketChange,
  type TicketOrigin,
  type TicketPlan,
  type TicketSight,
  type TicketState,
} from '../../twin-models/core/ticket-types.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
/** Any time. */
export const T0 = Date.parse('2026-11-26T08:00:00Z')

export const plan: TicketPlan = {
  title: 'Bearing wears out',
  device: 'p-1',
  rule: 'vibration',
  onCall: ['ann', 'bob'],
  severity: 'major',
  deadlines: DEFAULT_DEADLINES,
  verifyForMs: 30 * MINUTE,
  createdAt: T0,
  by: 'vibration',
}

export function alarm(n: number, raisedAt: number, more: Partial<SeenAlarm> = {}): SeenAlarm {
  return { n, severity: 'major', text: 'Vibration is 9 mm/s', raisedAt, ...more }
}

export function sight(recent: SeenAlarm[] = [alarm(1, T0)], more: Partial<TicketSight> = {}): TicketSight {
  return { isThere: true, alarms: recent.length, worst: 'major', recent: recent.toSorted((a, b) => b.n - a.n), seen: '', ...more }
}

/** A ticket that is looked at and asked, at times that only go on. */
export class TicketCase {
  readonly plan: TicketPlan
  state: TicketState
  sight = sight()
  now: number
  readonly changes: TicketChange[] = []

  constructor(changed: Partial<TicketPlan> = {}) {
    this.plan = { ...plan, ...changed }
    this.now = this.plan.createdAt
    this.state = initialTicket(this.plan)
  }

  /** Until `at`, or so much later, doing what it does by itself. Gives what is said meanwhile. */
  go(later: number, seen: TicketSight = this.sight): string[] {
    const end = this.now + later
    this.sight = seen
    const from = this.changes.length
    for (;;) {
      const step = nextTicketStep(this.state, this.plan, this.sight, this.now)
      if (step.kind === 'change') this.#take(step.change)
      else if (step.kind === 'over' || step.until > end) break
      else this.now = step.until
    }
    this.now = end
    return this.changes.slice(from).flatMap(({ story }) => story.map(({ what }) => what))
  }

  ask(ask: TicketAsk, origin: TicketOrigin = { via: 'rest' }): string {
    const steered = steerTicket(this.state, this.plan, ask, origin, this.now)
    if (steered.refused !== undefined) return `refused: ${steered.refused}`
    this.#take(steered.change)
    return steered.answer
  }

  /** `target: status` of the last step, and whoever was told before. */
  get told(): string[] {
    return this.changes.at(-1)?.notices.map(({ target, status }) => `${target}: ${status}`) ?? []
  }

  /** The last line of its story. */
  get last(): string {
    return this.state.story.at(-1)?.text ?? ''
  }

  #take(change: TicketChange): void {
    this.changes.push(change)
    this.state = JSON.parse(JSON.stringify(change.state))
  }
}
