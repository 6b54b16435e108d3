/** What one asks for with a ticket, and of one: what is taken, what it becomes, and where a refusal points. */
import { describe, expect, test } from 'vitest'
import { DEFAULT_DEADLINES, TICKET_ACTIONS, type TicketAction } from '../../twin-models/core/ticket-types.ts'
import { deadlinesOf, ticketRequest } from '../../twin-models/schemas/ticket.ts'
import { ticketArguments } from '../../twin-models/schemas/ticket-arguments.ts'
import { isTicketAsk, ticketAskOf } from '../../twin-models/ticket-ask.ts'

const AT = '2026-11-26T14:00:00+01:00'

describe('an argument', () => {
  test.each<[TicketAction, object, object]>([
    ['accept', { by: 'ann', note: 'On my way' }, { action: 'accept', by: 'ann', note: 'On my way' }],
    ['reassign', { by: 'ann', to: 'bob' }, { action: 'reassign', by: 'ann', to: 'bob' }],
    ['reassign', { by: 'ann' }, { action: 'reassign', by: 'ann' }],
    ['schedule', { by: 'ann', at: AT }, { action: 'schedule', by: 'ann', at: Date.parse(AT) }],
    ['start', { by: 'ann', for: '2h' }, { action: 'start', by: 'ann', forMs: 7_200_000 }],
    ['done', { by: 'ann' }, { action: 'done', by: 'ann' }],
    ['comment', { by: 'ann', note: 'It is ordered' }, { action: 'comment', by: 'ann', note: 'It is ordered' }],
    ['cancel', { by: 'ann' }, { action: 'cancel', by: 'ann' }],
    ['reopen', { by: 'ann', note: 'It rattles' }, { action: 'reopen', by: 'ann', note: 'It rattles' }],
  ])('of %s, %j, is the same in the UI and over REST', (action, argument, ask) => {
    expect(ticketAskOf(action, argument)).toEqual({ ask })
    expect({ action, ...(ticketArguments[action].parse(argument) as object) }).toEqual(ask)
    expect(isTicketAsk(ask)).toBe(true)
    expect(isTicketAsk(JSON.parse(JSON.stringify(ask)))).toBe(true)
  })

  test.each<[TicketAction, unknown, string]>([
    ['accept', undefined, 'accept takes a JSON object: {"by": …, "note": …}.'],
    ['accept', {}, 'by must be who says so'],
    ['accept', { by: 'two\nlines' }, 'by must be'],
    ['accept', { by: 'ann', to: 'bob' }, 'accept takes no to: it takes by, note.'],
    ['accept', { by: 'ann', note: ' ' }, 'note must be a text of 1 to 1000 characters'],
    ['accept', { by: 'ann', note: 'x'.repeat(1_001) }, 'note must be'],
    ['accept', { by: 'ann', note: 'a\u0000b' }, 'The argument of accept cannot be taken: /note holds U+0000'],
    ['schedule', { by: 'ann' }, 'at must be a time with its zone, like 2026-11-26T14:00:00Z.'],
    ['schedule', { by: 'ann', at: '2026-11-26T14:00:00' }, 'at must be'],
    ['schedule', { by: 'ann', at: '2026-13-26T14:00:00Z' }, 'at must be'],
    ['start', { by: 'ann', for: '31d' }, 'for must be a duration like 2h, at most 30d.'],
    ['start', { by: 'ann', for: 7_200_000 }, 'for must be'],
    ['comment', { by: 'ann' }, 'note must be'],
    ['reopen', { by: 'ann' }, 'note must be'],
    ['reassign', { by: 'ann', to: '' }, 'to must be the name of a target'],
    ['done', [], 'done takes a JSON object'],
  ])('of %s, %j, is refused in words', (action, argument, problem) => {
    expect(ticketAskOf(action, argument).problem).toContain(problem)
    const isByMissing = problem.startsWith('by must be who') || argument === undefined
    // Over REST the API key says who.
    if (!isByMissing && !problem.includes('U+0000')) expect(ticketArguments[action].safeParse(argument).success).toBe(false)
  })

  test('that comes as a signal is looked at again', () => {
    for (const wrong of [null, 'accept', {}, { action: 'sell', by: 'ann' }, { action: 'accept' }, { action: 'accept', by: 7 }])
      expect(isTicketAsk(wrong)).toBe(false)
    expect(isTicketAsk({ action: 'schedule', by: 'ann', at: 'tomorrow' })).toBe(false)
    expect(isTicketAsk({ action: 'start', by: 'ann', forMs: 0 })).toBe(false)
    expect(isTicketAsk({ action: 'comment', by: 'ann' })).toBe(false)
    expect(isTicketAsk({ action: 'accept', by: 'ann', more: 1 })).toBe(false)
    // Another system may say that it is planned, and not for when.
    expect(isTicketAsk({ action: 'schedule', by: 'ann' })).toBe(true)
    expect(TICKET_ACTIONS.every((action) => isTicketAsk({ action, by: 'ann', note: 'x' }))).toBe(true)
  })
})

describe('a request', () => {
  test('needs a device and a title; the rest is sensible', () => {
    expect(ticketRequest.parse({ device: 'p-1', title: 'It rattles' })).toEqual({
      ...{ device: 'p-1', title: 'It rattles', text: '', severity: 'minor', onCall: [], verifyFor: 1_800_000, deadlines: {} },
    })
    expect(deadlinesOf({})).toEqual(DEFAULT_DEADLINES)
  })

  test('may have deadlines of its own', () => {
    const { deadlines } = ticketRequest.parse({
      device: 'p-1',
      title: 'x',
      deadlines: { critical: { accept: '5m' }, minor: { done: '2d' } },
    })
    expect(deadlinesOf(deadlines)).toEqual({
      ...DEFAULT_DEADLINES,
      critical: { acceptMs: 300_000, doneMs: 4 * 3_600_000 },
      minor: { acceptMs: 8 * 3_600_000, doneMs: 2 * 86_400_000 },
    })
  })

  test.each<[object, string]>([
    [{ device: '/' }, 'device'],
    [{ title: '' }, 'title'],
    [{ title: 'two\nlines' }, 'title'],
    [{ title: 'x'.repeat(201) }, 'title'],
    [{ text: 'x'.repeat(2_001) }, 'text'],
    [{ severity: 'bad' }, 'severity'],
    [{ onCall: ['ann', 'ann'] }, 'onCall'],
    [{ onCall: Array.from({ length: 11 }, (_, n) => `p${n}`) }, 'onCall'],
    [{ onCall: [''] }, 'onCall/0'],
    [{ verifyFor: '0s' }, 'verifyFor'],
    [{ verifyFor: '31d' }, 'verifyFor'],
    [{ deadlines: { major: { accept: '31d' } } }, 'deadlines/major/accept'],
    [{ deadlines: { worst: { accept: '1m' } } }, 'deadlines'],
    [{ rule: '' }, 'rule'],
    [{ predict: 'a b' }, 'predict'],
    [{ colour: 'red' }, ''],
  ])('with %j is refused where it is wrong', (changed, path) => {
    const { error } = ticketRequest.safeParse({ device: 'p-1', title: 'It rattles', ...changed })
    expect(error!.issues[0]!.path.join('/')).toBe(path)
  })
})
