import { expect, test } from 'vitest'
import { Deadlines } from '../../api/ingest/deadlines.ts'

const NOW = Date.UTC(2026, 0, 1)

test('devices come when they are due, the earliest first, and at most as many as asked for', () => {
  const deadlines = new Deadlines()
  deadlines.set(1, NOW + 5_000)
  deadlines.set(2, NOW + 3_000)
  deadlines.set(3, NOW + 9_000)
  deadlines.set(4, NOW + 3_000)
  deadlines.delete(4)
  deadlines.set(3, NOW + 4_000)
  expect(deadlines.due(NOW + 2_000, 10)).toEqual([])
  expect(deadlines.due(NOW + 6_000, 2)).toEqual([2, 3])
  expect(deadlines.due(NOW + 6_000, 2)).toEqual([1])
  expect(deadlines.size).toBe(0)
})

test('a deadline long past comes at once, without a walk over all seconds since then', { timeout: 2_000 }, () => {
  const deadlines = new Deadlines()
  deadlines.set(1, NOW + 60_000)
  deadlines.set(2, 60_000)
  expect(deadlines.due(NOW, 10)).toEqual([2])
  deadlines.set(2, 60_000)
  deadlines.set(3, NOW - 1_000)
  expect(deadlines.due(NOW, 10)).toEqual([2, 3])
  expect(deadlines.due(NOW + 60_000, 10)).toEqual([1])
})
