/** Loops and chains of rules: which alarms may still act on devices. */
import { describe, expect, test } from 'vitest'
import { type ActingAlarm, CHAIN, type CutBy, cutOf, type Deed, depthOf, LOOP, tellsOf } from '../../twin-models/core/action-guard.ts'

const MINUTE = 60_000

/** Alarms at these times, one after the other. */
function judged(times: number[], depth = 0): Array<[cut: CutBy | undefined, told: boolean]> {
  const before: ActingAlarm[] = []
  return times.map((at, i) => {
    const alarm = { n: i + 1, at, depth, muted: false }
    const cut = cutOf(before, alarm)
    const told = tellsOf(before, alarm, cut)
    before.push({ n: alarm.n, at, ...(cut && { cut }) })
    return [cut, told]
  })
}

describe('a rule on a device', () => {
  test('acts for ten alarms within ten minutes, and is cut from the eleventh on; that is told once', () => {
    const found = judged(Array.from({ length: 14 }, (_, i) => i * 1_000))
    expect(found.map(([cut]) => cut)).toEqual([...Array(LOOP.alarms).fill(undefined), ...Array(4).fill('loop')])
    expect(found.map(([, told]) => told)).toEqual([...Array(LOOP.alarms).fill(false), true, false, false, false])
  })

  test('acts without end where it does so now and then', () => {
    expect(judged(Array.from({ length: 100 }, (_, i) => i * MINUTE)).every(([cut]) => cut === undefined)).toBe(true)
  })

  test('that goes round for hours acts ten times in any ten minutes, and that is told once', () => {
    const times = Array.from({ length: 720 }, (_, i) => i * 10_000)
    const found = judged(times)
    const acted = times.filter((_, i) => found[i]![0] === undefined)
    for (const at of acted)
      expect(acted.filter((other) => other > at - LOOP.windowMs && other <= at).length).toBeLessThanOrEqual(LOOP.alarms)
    expect(acted.length).toBeGreaterThan(LOOP.alarms * 11)
    expect(found.filter(([, told]) => told)).toHaveLength(1)
  })

  test('is told of again when it was quiet for long enough in between', () => {
    const loop = Array.from({ length: 12 }, (_, i) => i * 1_000)
    const found = judged([...loop, ...loop.map((at) => at + 11 * MINUTE)])
    expect(found.filter(([, told]) => told)).toHaveLength(2)
  })

  test('is judged once an alarm: who acted when it was raised acts when it is cleared, and who did not does not', () => {
    const before: ActingAlarm[] = [
      { n: 1, at: 0 },
      { n: 2, at: 0, cut: 'loop' },
      { n: 3, at: 0, cut: 'maintenance' },
    ]
    const cleared = (n: number) => cutOf(before, { n, at: 1, depth: CHAIN.depth, muted: n === 1 })
    expect([cleared(1), cleared(2), cleared(3), cleared(4)]).toEqual([undefined, 'loop', 'maintenance', 'chain'])
  })

  test('does not act in maintenance, which is no loop and not told', () => {
    const alarm = { n: 1, at: 0, depth: 0, muted: true }
    expect(cutOf([], alarm)).toBe('maintenance')
    expect(tellsOf([], alarm, 'maintenance')).toBe(false)
    const muted = Array.from({ length: 20 }, (_, n): ActingAlarm => ({ n: n + 2, at: 0, cut: 'maintenance' }))
    expect(cutOf(muted, { ...alarm, muted: false })).toBeUndefined()
  })
})

describe('a chain', () => {
  const deed = (more: Partial<Deed> = {}): Deed => ({ at: 1_000, target: 2, incarnation: 1, depth: 0, ...more })
  const depth = (deeds: Deed[], began = 2_000) => depthOf(deeds, { incarnation: 2, began })

  test('gets one deeper from device to device, and no deeper on one', () => {
    expect(depth([])).toBe(0)
    expect(depth([deed()])).toBe(1)
    expect(depth([deed({ depth: 3 }), deed()])).toBe(4)
    expect(depth([deed({ incarnation: 2, depth: 3 })])).toBe(3)
    expect(depth([deed({ target: 3 })])).toBe(0)
  })

  test('is what began within a minute of the deed, and not before it', () => {
    expect(depth([deed()], 1_000)).toBe(1)
    expect(depth([deed()], 1_000 + CHAIN.withinMs)).toBe(1)
    expect(depth([deed()], 1_001 + CHAIN.withinMs)).toBe(0)
    expect(depth([deed()], 999)).toBe(0)
  })

  test('is cut when it is too deep', () => {
    expect(judged([0], CHAIN.depth - 1)).toEqual([[undefined, false]])
    expect(judged([0, 1], CHAIN.depth)).toEqual([
      ['chain', true],
      ['chain', false],
    ])
  })
})
