/** Requests to twins as the processor takes them: what a newer version or a hand wrote is held against what the twin relies on. */
import { describe, expect, test } from 'vitest'
import { inputOf } from '../../api/ingest/requests.ts'

const AT = Date.UTC(2026, 10, 21)
const DAY = 86_400_000
const taken = (kind: string, body: unknown) => inputOf({ id: 'r', incarnation: 1, lane: 1, kind, body: JSON.stringify(body) }, AT)

describe('a request of an alarm', () => {
  const ask = { rule: 'hot', by: 'ann' }
  const good: Array<[what: string, body: object]> = [
    ['acknowledge', { ...ask, action: 'acknowledge', note: 'x'.repeat(1_000) }],
    ['acknowledge one alone', { ...ask, n: 3, action: 'acknowledge' }],
    ['unshelve', { ...ask, action: 'unshelve' }],
    ['clear', { ...ask, action: 'clear' }],
    ['comment', { ...ask, action: 'comment', note: 'ä\n𝒳' }],
    ['shelve for a year', { ...ask, action: 'shelve', until: AT + 366 * DAY }],
    ['assign', { ...ask, action: 'assign', assignee: 'x'.repeat(128) }],
    ['assign nobody', { ...ask, action: 'assign', assignee: null }],
    ['of a rule with a long name', { ...ask, rule: 'x'.repeat(128), action: 'clear' }],
  ]
  test.each(good)('is taken: %s', (_what, body) => {
    expect(taken('alarm', body)).toEqual({ ...body, kind: 'alarm', at: AT, request: 'r' })
  })

  const bad: Array<[what: string, body: unknown]> = [
    ['no rule', { by: 'ann', action: 'clear' }],
    ['a rule of 129 characters', { ...ask, rule: 'x'.repeat(129), action: 'clear' }],
    ['nobody who asks', { rule: 'hot', action: 'clear' }],
    ['somebody with an endless name', { ...ask, by: 'x'.repeat(257), action: 'clear' }],
    ['no action', ask],
    ['an unknown action', { ...ask, action: 'snooze' }],
    ['an action of every object', { ...ask, action: 'constructor' }],
    ['a number that is none', { ...ask, n: '3', action: 'clear' }],
    ['a note of 1,001 characters', { ...ask, action: 'clear', note: 'x'.repeat(1_001) }],
    ['a note with half a character', { ...ask, action: 'clear', note: '\ud800' }],
    ['a note with U+0000', { ...ask, action: 'clear', note: 'a\0b' }],
    ['a note that is no text', { ...ask, action: 'clear', note: 1 }],
    ['a comment without words', { ...ask, action: 'comment' }],
    ['shelving without an end', { ...ask, action: 'shelve' }],
    ['shelving for longer than a year', { ...ask, action: 'shelve', until: AT + 367 * DAY }],
    ['shelving until no number', { ...ask, action: 'shelve', until: '2026' }],
    ['assigning without a word', { ...ask, action: 'assign' }],
    ['an assignee of 129 characters', { ...ask, action: 'assign', assignee: 'x'.repeat(129) }],
    ['a list', []],
    ['null', null],
  ]
  test.each(bad)('is not understood: %s', (_what, body) => {
    expect(taken('alarm', body)).toBeUndefined()
  })
})

describe('a request of maintenance', () => {
  test.each([
    ['for a month', { until: AT + 31 * DAY, by: 'ann' }],
    ['with a reason', { until: AT + DAY, by: 'ticket 7', reason: 'A new bearing' }],
    ['of a ticket', { until: AT + DAY, by: 't-7', ticket: true }],
    ['until now', { until: null, by: 'ann' }],
  ])('is taken: %s', (_what, body) => {
    expect(taken('maintenance', body)).toEqual({ ...body, kind: 'maintenance', at: AT, request: 'r' })
  })

  test.each([
    ['no end', { by: 'ann' }],
    ['an end in 32 days', { until: AT + 32 * DAY, by: 'ann' }],
    ['an end that is no number', { until: 'x', by: 'ann' }],
    ['nobody who asks', { until: null }],
    ['a ticket that is no mark', { until: null, by: 't-7', ticket: 't-7' }],
    ['a reason of 1,001 characters', { until: null, by: 'ann', reason: 'x'.repeat(1_001) }],
  ])('is not understood: %s', (_what, body) => {
    expect(taken('maintenance', body)).toBeUndefined()
  })
})
