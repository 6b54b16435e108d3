import { describe, expect, it } from 'vitest'
import { nextPace } from './sustained.ts'

/** A server that accepts and processes so much a second, steered for a while; returns the last seconds' backlog and rate. */
function steer(accepts: number, processes: number, begin: number) {
  const stepSeconds = 0.5
  let [pace, backlog, rate] = [begin, 0, 0]
  const backlogs: number[] = []
  for (let step = 0; step < 60; step++) {
    const arrived = Math.min(pace, accepts) * stepSeconds
    const done = Math.min(backlog + arrived, processes * stepSeconds)
    backlog += arrived - done
    rate = done / stepSeconds
    pace = nextPace(pace, rate, backlog)
    backlogs.push(backlog)
  }
  return { rate, backlogs: backlogs.slice(-20) }
}

describe('the steering to the sustained rate', () => {
  it('finds what can be processed, with a short backlog that does not grow', () => {
    for (const begin of [1000, 10_000, 60_000]) {
      const { rate, backlogs } = steer(60_000, 25_000, begin)
      expect(rate).toBeCloseTo(25_000, -2)
      expect(Math.max(...backlogs)).toBeLessThan(1.5 * 25_000)
    }
  })

  it('finds what can be accepted where that is less', () => {
    const { rate, backlogs } = steer(12_000, 25_000, 10_000)
    expect(rate).toBeCloseTo(12_000, -2)
    expect(Math.max(...backlogs)).toBe(0)
  })
})
