/** How many seals a second: what the answers of the twins say of the machine. */
import { expect, test } from 'vitest'
import { CALM_ANSWER_MS, LONGEST_WINDOW_MS, Pace, ROUTINE_PER_SECOND, SLOW_ANSWER_MS } from '../../api/ingest/pace.ts'

function paceAfter(latencyMs: number, answers = 100): Pace {
  const pace = new Pace()
  for (let n = 0; n < answers; n++) pace.answered(latencyMs, n)
  return pace
}

test('routine news makes room while answers are slow, in proportion, and comes back when they are quick again', () => {
  expect(new Pace().routineRate(100)).toBe(ROUTINE_PER_SECOND)
  expect(paceAfter(CALM_ANSWER_MS / 2).routineRate(100)).toBe(ROUTINE_PER_SECOND)
  const slow = paceAfter(CALM_ANSWER_MS * 3)
  expect(slow.routineRate(100)).toBeCloseTo(ROUTINE_PER_SECOND / 3)
  for (let n = 0; n < 100; n++) slow.answered(CALM_ANSWER_MS / 4, n)
  expect(slow.routineRate(100)).toBe(ROUTINE_PER_SECOND)
})

test('an answer that an outage held up counts as a slow one: routine news never stands still', () => {
  expect(paceAfter(3 * 3_600_000).routineRate(7)).toBeCloseTo((ROUTINE_PER_SECOND * CALM_ANSWER_MS) / SLOW_ANSWER_MS)
})

test('however slow answers are, all twins are told within the longest window', () => {
  const pace = paceAfter(60_000)
  expect(pace.routineRate(30_000)).toBe(30_000 / (LONGEST_WINDOW_MS / 1000))
})

test('the number of unanswered seals grows with answers in good time, and halves when they are late, once a second', () => {
  const pace = paceAfter(100)
  const grown = pace.limit
  expect(grown).toBeGreaterThan(new Pace().limit)
  pace.answered(5_000, 10_000)
  pace.answered(5_000, 10_500)
  expect(Math.abs(pace.limit - grown / 2)).toBeLessThanOrEqual(1)
})
