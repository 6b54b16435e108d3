/**
 * What a run of `maintenanceTicket` holds: what it carries, and what its last look found. What is carried is a copy of what stands in Postgres, where
 * each step is done once under its number.
 */
import { proxyLocalActivities, setCurrentDetails } from '@temporalio/workflow'
import type { TicketActivities, TicketStepped } from '../activities/ticket-activities.ts'
import { nextTicketStep } from '../twin-models/core/ticket.ts'
import { ignoredTicketAsk, steerTicket } from '../twin-models/core/ticket-steer.ts'
import type { TicketAsk, TicketChange, TicketOrigin, TicketSight, TicketSteered, TicketStep } from '../twin-models/core/ticket-types.ts'
import { TICKET_STEP } from './activity-options.ts'
import type { Heard, TicketCarried } from './messages.ts'
import { type Answer, showStatus } from './operators.ts'
import type { AskedOfTicket } from './ticket-handlers.ts'
import { ticketReport } from './ticket-report.ts'

/** More than may wait to be told at once (infra/postgres/ticket-asked.ts), so that what is told twice is always known. */
const HEARD = 150

const { stepTicket } = proxyLocalActivities<TicketActivities>(TICKET_STEP)

export class TicketRun {
  carried: TicketCarried
  #sight: TicketSight = { isThere: true, alarms: 0, recent: [], seen: '' }

  constructor(carried: TicketCarried) {
    this.carried = carried
  }

  /** Sees what has become of its alarms, its prediction and its device. */
  async look(): Promise<void> {
    await this.#step(this.carried.n, this.carried.heard)
  }

  /** What it does next by itself, by the last look. */
  next(): TicketStep {
    return nextTicketStep(this.carried.state, this.carried.plan, this.#sight, Date.now())
  }

  async take(change: TicketChange): Promise<void> {
    await this.#step(this.carried.n + 1, this.carried.heard, change)
  }

  /** Whether it would be done now, without doing it. */
  wouldRefuse(ask: TicketAsk, origin: TicketOrigin): string | undefined {
    return this.#steered(ask, origin).refused
  }

  /** Does what is asked for. What was done or refused before under the same id is only answered. */
  async obey(asked: AskedOfTicket): Promise<Answer> {
    const { ask, origin, id } = asked
    for (;;) {
      const { heard, n, state, plan } = this.carried
      const before = heard.find((known) => known.id === id)
      if (before) return before
      const steered = this.#steered(ask, origin)
      const isRefused = steered.refused !== undefined
      const answer = steered.refused ?? steered.answer
      if (isRefused && origin.via === 'ui') return this.#noted(asked, { answer, isRefused })
      const change = isRefused ? ignoredTicketAsk(state, plan, ask, origin, answer, Date.now()) : steered.change
      const look = await this.#step(n + 1, withAnswer(heard, { id, answer, isRefused }), change, mustExist(asked))
      if (look.refused !== undefined && !look.ahead) return this.#noted(asked, { answer: look.refused, isRefused: true })
      if (!look.ahead && !look.isStale) return this.#noted(asked, { answer, isRefused })
    }
  }

  report(): void {
    const { tenant, state, plan } = this.carried
    setCurrentDetails(ticketReport(this.carried, this.#sight))
    showStatus(tenant, state.status, { device: plan.device })
  }

  #steered(ask: TicketAsk, origin: TicketOrigin): TicketSteered {
    return steerTicket(this.carried.state, this.carried.plan, ask, origin, Date.now())
  }

  /** Another run of this ticket was further: what it carried is taken over, and what was to be done is not. */
  async #step(n: number, heard: Heard[], change?: TicketChange, target?: string): Promise<TicketStepped> {
    const { id, tenant } = this.carried
    const asked = { id, tenant, n, heard, seen: this.#sight.seen, ...(change && { change }), ...(target !== undefined && { target }) }
    const look = await stepTicket(asked)
    this.#sight = look.sight
    if (look.ahead) this.carried = { ...this.carried, n: look.n, ...look.ahead }
    else if (!look.isStale && look.refused === undefined)
      this.carried = { ...this.carried, n: look.n, heard, ...(change && { state: change.state }) }
    return look
  }

  #noted({ ask, origin, id }: AskedOfTicket, answer: Answer): Answer {
    const who = origin.via === 'ui' ? 'in the Temporal UI' : `by ${origin.system ?? ask.by}`
    const note = `${ask.action}, asked ${who}${answer.isRefused ? ', was refused' : ''}. ${answer.answer}`
    this.carried = { ...this.carried, heard: withAnswer(this.carried.heard, { id, ...answer }), note }
    return answer
  }
}

/** Of what is asked elsewhere it was looked for there. */
function mustExist({ ask, origin }: AskedOfTicket): string | undefined {
  return origin.via === 'ui' && ask.action === 'reassign' ? ask.to : undefined
}

function withAnswer(heard: Heard[], answer: Heard): Heard[] {
  return [...heard.filter(({ id }) => id !== answer.id), answer].slice(-HEARD)
}
