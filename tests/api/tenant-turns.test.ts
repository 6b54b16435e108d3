/** Whose news reaches its twin next. */
import { describe, expect, test } from 'vitest'
import { TenantTurns } from '../../api/ingest/tenant-turns.ts'

const all = (turns: TenantTurns): number[] => {
  const taken: number[] = []
  for (let device = turns.take(); device !== undefined; device = turns.take()) taken.push(device)
  return taken
}

describe('turns', () => {
  test('are taken by tenants one after the other, within each by who came first', () => {
    const turns = new TenantTurns()
    for (const device of [1, 2, 3, 4]) turns.add(device, 'storm', device)
    turns.add(10, 'calm', 10)
    turns.add(20, 'other', 20)
    turns.add(11, 'calm', 30)
    expect(all(turns)).toEqual([1, 10, 20, 2, 11, 3, 4])
    expect([turns.size, turns.oldest, turns.take()]).toEqual([0, null, undefined])
  })

  test('of one that comes while a storm is worked off is the next but one at most', () => {
    const turns = new TenantTurns()
    for (let device = 0; device < 10_000; device++) turns.add(device, 'storm', 0)
    turns.take()
    turns.add(99_999, 'calm', 1)
    expect([turns.take(), turns.take()]).toContain(99_999)
  })

  test('know who has waited for longest, and forget who is gone', () => {
    const turns = new TenantTurns()
    turns.add(1, 'a', 50)
    turns.add(2, 'b', 40)
    turns.add(2, 'b', 10)
    expect([turns.size, turns.oldest]).toEqual([2, 40])
    turns.delete(2)
    turns.delete(2)
    expect([turns.size, turns.oldest]).toEqual([1, 50])
    turns.retain(() => false)
    expect([turns.size, turns.oldest]).toEqual([0, null])
  })
})
