/** What people and other systems do with a ticket: what each thing makes of it in each status, and why it is refused. */
import { describe, expect, test } from 'vitest'
import type { TicketAsk, TicketOrigin } from '../../twin-models/core/ticket-types.ts'
import { alarm, DAY, HOUR, MINUTE, sight, T0, TicketCase } from '../support/ticket-cases.ts'

const quiet = sight([alarm(1, T0, { clearedAt: T0 + MINUTE })])
const at = T0 + 5 * HOUR
const ASKS: Record<TicketAsk['action'], TicketAsk> = {
  accept: { action: 'accept', by: 'ann' },
  reassign: { action: 'reassign', by: 'ann', to: 'eve' },
  schedule: { action: 'schedule', by: 'ann', at },
  start: { action: 'start', by: 'ann' },
  done: { action: 'done', by: 'ann' },
  comment: { action: 'comment', by: 'ann', note: 'The spare part is ordered' },
  cancel: { action: 'cancel', by: 'ann' },
  reopen: { action: 'reopen', by: 'ann', note: 'It still rattles' },
}

/** A ticket that came to this status by the shortest way. */
function caseOf(status: string): TicketCase {
  const ticket = new TicketCase()
  if (status === 'open') return ticket
  ticket.go(0)
  const by = 'ann'
  if (status === 'reassigned') ticket.ask({ action: 'reassign', by })
  if (status === 'escalated') ticket.go(2 * HOUR)
  if (status === 'accepted') ticket.ask({ action: 'accept', by })
  if (status === 'scheduled') ticket.ask({ action: 'schedule', by, at: T0 + DAY / 2 })
  if (status === 'in-progress') ticket.ask({ action: 'start', by })
  if (['done', 'verifying', 'reopened', 'closed'].includes(status)) ticket.ask({ action: 'done', by })
  if (status === 'verifying') ticket.go(0)
  if (status === 'reopened') ticket.ask({ action: 'reopen', by, note: 'No.' })
  if (status === 'closed') ticket.go(HOUR, quiet)
  if (status === 'cancelled') ticket.ask({ action: 'cancel', by })
  expect(ticket.state.status).toBe(status)
  return ticket
}

const REFUSED = 'refused'
const UNACCEPTED = {
  ...{
    accept: 'accepted',
    reassign: 'reassigned',
    schedule: 'scheduled',
    start: 'in-progress',
    done: 'done',
    comment: '',
    cancel: 'cancelled',
  },
  reopen: REFUSED,
}
const WATCHED = {
  ...{ accept: REFUSED, reassign: REFUSED, schedule: REFUSED, start: REFUSED, done: REFUSED, comment: '', cancel: 'cancelled' },
  reopen: 'reopened',
}
const OVER = Object.fromEntries(Object.keys(ASKS).map((action) => [action, REFUSED]))

test.each<[string, Record<string, string>]>([
  ['open', UNACCEPTED],
  ['notified', UNACCEPTED],
  ['reassigned', UNACCEPTED],
  ['escalated', UNACCEPTED],
  ['reopened', UNACCEPTED],
  ['accepted', { ...UNACCEPTED, accept: REFUSED }],
  ['scheduled', { ...UNACCEPTED, accept: REFUSED }],
  ['in-progress', { ...UNACCEPTED, accept: REFUSED, schedule: REFUSED, start: REFUSED }],
  ['done', WATCHED],
  ['verifying', WATCHED],
  ['closed', OVER],
  ['cancelled', OVER],
])('what is %s: each thing leads on, or is refused in words', (status, outcomes) => {
  for (const [action, outcome] of Object.entries(outcomes)) {
    const ticket = caseOf(status)
    const before = ticket.changes.length
    const answer = ticket.ask(ASKS[action as TicketAsk['action']])
    expect(answer, `${action} while ${status}`).toMatch(/^.{6,}\.$/s)
    expect(answer.startsWith('refused: '), `${action} while ${status}: ${answer}`).toBe(outcome === REFUSED)
    expect(ticket.state.status).toBe(outcome === REFUSED || outcome === '' ? status : outcome)
    expect(ticket.changes.length - before).toBe(outcome === REFUSED ? 0 : 1)
  }
})

describe('who is quicker than the first step', () => {
  test.each(['accept', 'reassign', 'schedule', 'start', 'done'] as const)('says with it that it was opened: %s', (action) => {
    const ticket = new TicketCase()
    ticket.ask(ASKS[action])
    const [change] = ticket.changes
    expect(change!.event).toBe('opened')
    expect(change!.story[0]).toEqual({ at: T0, what: 'opened', by: 'vibration', text: 'Opened by rule vibration.' })
    expect(change!.story[1]).toMatchObject({ by: 'ann', via: 'rest' })
    ticket.go(0)
    ticket.ask({ action: 'comment', by: 'eve', note: 'Good.' })
    expect(ticket.changes.slice(1).map(({ event }) => event)).not.toContain('opened')
  })

  test('only says something: it is opened and told as ever', () => {
    const ticket = new TicketCase()
    ticket.ask(ASKS.comment)
    expect(ticket.go(0)).toEqual(['opened', 'told'])
    expect(ticket.changes.map(({ event }) => event)).toEqual(['updated', 'opened'])
  })

  test('cancels it: its story is whole', () => {
    const ticket = new TicketCase()
    ticket.ask(ASKS.cancel)
    expect(ticket.state.story.map(({ what }) => what)).toEqual(['opened', 'cancelled'])
    expect(ticket.changes.at(-1)!.event).toBe('closed')
  })

  test('while its model is asked it was opened before', () => {
    const ticket = new TicketCase({ predict: 'pump-failure' })
    ticket.go(0)
    ticket.ask(ASKS.accept)
    expect(ticket.changes.map(({ event }) => event)).toEqual(['opened', 'updated'])
  })
})

describe('who has it', () => {
  test('is who accepted it, and the others are told so', () => {
    const ticket = new TicketCase()
    ticket.go(HOUR)
    expect(ticket.ask({ action: 'accept', by: 'ann', note: 'On my way' })).toBe('It is yours. It is to be done by 2026-11-27 08:00:00 UTC.')
    expect(ticket.told).toEqual(['bob: resolved'])
    expect(ticket.last).toBe('ann accepted it. “On my way”')
    expect(ticket.state).toMatchObject({ assignee: 'ann', told: ['ann'] })
    expect(ticket.ask({ action: 'accept', by: 'ann' })).toBe('refused: ann has it already.')
    expect(ticket.ask({ action: 'accept', by: 'bob' })).toBe('refused: ann has it: reassign it to take it over.')
    expect(ticket.ask({ action: 'reassign', by: 'bob', to: 'bob' })).toContain('bob is told')
    expect(ticket.told).toEqual(['ann: resolved', 'bob: firing'])
    expect(ticket.state.assignee).toBeUndefined()
  })

  test('passed on to nobody by name it goes to the next on call', () => {
    const ticket = new TicketCase({ onCall: ['ann', 'bob', 'eve'] })
    ticket.go(0)
    ticket.ask({ action: 'accept', by: 'bob' })
    ticket.ask({ action: 'reassign', by: 'bob' })
    expect(ticket.state.asked!.target).toBe('eve')
    expect(ticket.ask({ action: 'reassign', by: 'eve', to: 'eve' })).toBe('refused: eve is told already, and has not accepted it yet.')
    ticket.go(HOUR)
    expect(ticket.state.asked!.target).toBe('ann')
    const alone = new TicketCase({ onCall: ['ann'] })
    alone.go(0)
    expect(alone.ask({ action: 'reassign', by: 'ann' })).toBe('refused: Nobody else is on call: say to whom.')
  })

  test('is no matter for who only says something: the line names them', () => {
    const ticket = caseOf('accepted')
    ticket.ask({ action: 'comment', by: 'eve', note: 'The spare part is ordered' })
    expect(ticket.last).toBe('eve says: “The spare part is ordered”')
    expect(ticket.state.assignee).toBe('ann')
  })

  test('stays, when somebody else says that it begins or is done', () => {
    const ticket = caseOf('accepted')
    ticket.ask({ action: 'start', by: 'eve' })
    ticket.ask({ action: 'done', by: 'eve' })
    expect(ticket.state.assignee).toBe('ann')
  })
})

describe('a plan', () => {
  test('is not in the past, nor more than a year ahead, and says when it is too late', () => {
    const ticket = caseOf('accepted')
    const plan = (when: number) => ticket.ask({ action: 'schedule', by: 'ann', at: when })
    expect(plan(ticket.now)).toBe('refused: 2026-11-26 08:00:00 UTC is past.')
    expect(plan(ticket.now + 400 * DAY)).toBe('refused: That is more than a year ahead.')
    expect(plan(T0 + 30 * HOUR)).toBe('It is planned for 2026-11-27 14:00:00 UTC. That is after it is to be done, 2026-11-27 08:00:00 UTC.')
    expect(plan(T0 + HOUR)).toBe('It is planned for 2026-11-26 09:00:00 UTC.')
    expect(ticket.go(HOUR)).toEqual(['reminded'])
  })
})

test('maintenance is for as long as was said, and may be made longer', () => {
  const ticket = caseOf('notified')
  ticket.ask({ action: 'start', by: 'ann', forMs: HOUR })
  expect(ticket.changes.at(-1)!.maintenance).toBe(ticket.now + HOUR)
  ticket.go(30 * MINUTE)
  expect(ticket.ask({ action: 'start', by: 'ann' })).toContain('refused: It is in progress already')
  expect(ticket.ask({ action: 'start', by: 'ann', forMs: 2 * HOUR })).toContain('2026-11-26 10:30:00 UTC')
  expect(ticket.go(2 * HOUR - 1)).toEqual([])
  ticket.ask({ action: 'cancel', by: 'ann' })
  expect(ticket.changes.at(-1)).toMatchObject({ maintenance: null, event: 'closed' })
})

test('a story that is full takes no comment, and everything else', () => {
  const ticket = caseOf('accepted')
  for (let n = 0; ticket.state.stories < 1_000; n++) ticket.ask({ action: 'comment', by: 'ann', note: `Note ${n}, ${'x'.repeat(900)}` })
  expect(ticket.ask(ASKS.comment)).toBe('refused: Its story is full: nobody comments any more.')
  expect(ticket.state.story).toHaveLength(10)
  expect(JSON.stringify(ticket.state).length).toBeLessThan(8_000)
  expect(ticket.ask(ASKS.done)).toContain('It is done.')
})

describe('another system', () => {
  const erp = (when: number, messageId = 'm'): TicketOrigin => ({ via: 'system', system: 'erp', messageId, at: when })

  test('may leave out what lies before, and says later what was earlier in vain', () => {
    const ticket = caseOf('notified')
    ticket.go(5_000)
    expect(ticket.ask({ action: 'start', by: 'eve' }, erp(T0 + 2_000))).toContain('in maintenance')
    expect(ticket.ask({ action: 'accept', by: 'eve' }, erp(T0 + 1_000))).toBe(
      'refused: It is older (2026-11-26 08:00:01 UTC) than what erp said last (2026-11-26 08:00:02 UTC).',
    )
    expect(ticket.ask({ action: 'schedule', by: 'eve' }, erp(T0 + 3_000))).toBe('refused: It is in progress already.')
    expect(ticket.state).toMatchObject({ status: 'in-progress', assignee: 'eve', heardAt: T0 + 2_000 })
  })

  test('of before a relapse says nothing of after it', () => {
    const ticket = caseOf('verifying')
    ticket.go(MINUTE)
    ticket.go(0, sight([alarm(2, T0 + MINUTE)], { alarms: 2 }))
    expect(ticket.state.status).toBe('reopened')
    expect(ticket.ask({ action: 'done', by: 'eve' }, erp(T0 + 30_000))).toContain(
      'refused: It is of 2026-11-26 08:00:30 UTC, before the relapse',
    )
    expect(ticket.ask({ action: 'done', by: 'eve' }, erp(T0 + 2 * MINUTE))).toContain('It is done.')
  })

  test('whose clock is ahead is heard again later', () => {
    const ticket = caseOf('notified')
    ticket.ask({ action: 'accept', by: 'eve' }, erp(T0 + DAY))
    ticket.go(MINUTE)
    expect(ticket.ask({ action: 'schedule', by: 'eve' }, erp(T0 + 30_000))).toBe('It is planned.')
    expect(ticket.changes.at(-1)!.origin).toMatchObject({ via: 'system', system: 'erp' })
    expect(ticket.state.story.at(-1)).toMatchObject({ what: 'scheduled', by: 'eve', via: 'system' })
  })
})
