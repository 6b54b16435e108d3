/** What people read of a ticket that is late: its page in the Temporal UI, and the page behind a link. */
import { expect, test } from 'vitest'
import { ticketPage } from '../../api/http/ticket-page.ts'
import { ticketReport } from '../../workflows/ticket-report.ts'
import { DAY, MINUTE, plan, T0, TicketCase } from '../support/ticket-cases.ts'

const DUE = '2026-11-27 08:00:00 UTC'
const AGAIN = '2026-11-29 08:00:00 UTC'

test('until it is late it says by when it is to be done', () => {
  const ticket = new TicketCase()
  ticket.go(MINUTE)
  expect(reportOf(ticket)).toContain(`- To be done by ${DUE}`)
  expect(pageOf(ticket)).toContain(`<dt>To be done by</dt><dd>${DUE}</dd>`)
})

test('when it is late it says since when, how often that was said, and when it is said again', () => {
  const ticket = new TicketCase()
  ticket.go(MINUTE)
  ticket.ask({ action: 'accept', by: 'ann' })
  ticket.go(DAY)
  expect(reportOf(ticket)).toContain(`- **Overdue**: it was to be done by ${DUE}. Said once, and again on ${AGAIN}`)
  expect(pageOf(ticket)).toContain(`<dt>To be done by</dt><dd>${DUE}: overdue</dd>`)
  ticket.go(2 * DAY)
  expect(reportOf(ticket)).toContain(`it was to be done by ${DUE}. Said 2 times, and again on 2026-12-03 08:00:00 UTC`)
})

test('of one that is done it says when that was wanted, and of one that is over nothing', () => {
  const ticket = new TicketCase()
  ticket.go(MINUTE)
  ticket.ask({ action: 'accept', by: 'ann' })
  ticket.go(DAY)
  ticket.ask({ action: 'done', by: 'ann' })
  expect(reportOf(ticket)).toContain(`- It was to be done by ${DUE}`)
  ticket.ask({ action: 'cancel', by: 'ann' })
  expect(reportOf(ticket)).not.toMatch(/Overdue|^- It was to be done/m)
})

function reportOf({ state, sight }: TicketCase): string {
  return ticketReport({ id: 'a', tenant: 'demo', number: 1, text: '', plan, n: 1, state, heard: [] }, sight)
}

function pageOf({ state }: TicketCase): string {
  const row = {
    ...{ id: 'a', number: 1, incarnation: 1, device: 'p-1', rule: 'vibration', ruleVersion: 1, alarm: 1, text: '', plan },
    ...{ changedAt: T0, endedAt: null, state, alarms: 1, external: undefined, asked: [] },
  }
  return ticketPage({ row, target: 'ann', lines: [], alarm: undefined, base: '' })
}
