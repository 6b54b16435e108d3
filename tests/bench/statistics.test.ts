import { describe, expect, it } from 'vitest'
import { median, percentile, rounded } from './statistics.ts'

describe('statistics of the bench', () => {
  it('take the middle, or the mean of the two middles', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(() => median([])).toThrow('nothing')
  })

  it('take a percentile that was really measured', () => {
    const values = Array.from({ length: 200 }, (_, i) => i + 1)
    expect([50, 99, 100].map((percent) => percentile(values, percent))).toEqual([100, 198, 200])
    expect(percentile([7], 99)).toBe(7)
  })

  it('pretend to no more than three digits', () => {
    expect([12_345.6, 0.51234, 0].map(rounded)).toEqual([12_300, 0.512, 0])
  })
})
