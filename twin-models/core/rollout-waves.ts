/**
 * Waves: how many devices each one holds, and what all of them count together.
 *
 * The devices of a rollout are numbered: members of the named groups first, wave by wave, the others by a salted hash that spreads sites and
 * batches. A wave by `percent` ends with device number ⌈total · percent / 100⌉ of all, so the groups and counts before it are within the
 * percent; one by `count` takes that many more; one of a `group` takes those of its members that no earlier group took. Nobody is in two
 * waves, a wave takes at most who is left, and the last one takes all who are left: the sizes always sum to the whole. A wave may be empty.
 */
import type { WaveCounts, WaveRule } from './rollout-types.ts'

/** `groupSizes`: of the waves of groups in their order, members that no earlier group has. The last wave is to reach all. */
export function waveSizes(total: number, waves: readonly WaveRule[], groupSizes: readonly number[] = []): number[] {
  let placed = 0
  let groups = 0
  const sizes = waves.map((wave, i) => {
    const rest = total - placed
    const size = i === waves.length - 1 ? rest : Math.min(Math.max(0, asked(wave)), rest)
    placed += size
    return size
  })
  return sizes

  function asked(wave: WaveRule): number {
    if ('percent' in wave) return portion(total, wave.percent / 100) - placed
    return 'count' in wave ? wave.count : (groupSizes[groups++] ?? 0)
  }
}

/** The least whole number that is this share of `total` or more. Shares have at most 6 decimals, so that 7 % of 100 is 7 and not 8. */
export function portion(total: number, share: number): number {
  return Math.ceil((total * Math.round(share * 1e6)) / 1e6)
}

export const EMPTY_WAVE: Readonly<WaveCounts> = { total: 0, waiting: 0, later: 0, underway: 0, healthy: 0, failed: 0, silent: 0, left: 0 }

export function summed(waves: readonly WaveCounts[]): WaveCounts {
  const sum = { ...EMPTY_WAVE }
  for (const wave of waves) for (const count of COUNTS) sum[count] += wave[count]
  return sum
}

const COUNTS = Object.keys(EMPTY_WAVE) as Array<keyof WaveCounts>
