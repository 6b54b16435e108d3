/** What becomes of the updates of a simulated device: dealt out by shares, at most one for each. */

/**
 * `reject`: it refuses every job. The others befall what it installs, but no rollback. `fail`: it cannot install. `brick`: it never comes back
 * from its reboot. `return`: it boots what ran before. `unhealthy`: it boots, and is not well.
 */
export const FATES = ['reject', 'fail', 'brick', 'return', 'unhealthy'] as const
export type Fate = (typeof FATES)[number]
export type FateShares = { readonly [F in Fate]?: number }

/** Its multiples lie evenly between 0 and 1, also every third of them. */
const GOLDEN = (Math.sqrt(5) - 1) / 2

/** Of the device with this number. Undefined: its updates go well. */
export function fateOf(shares: FateShares, i: number): Fate | undefined {
  let place = ((i + 1) * GOLDEN) % 1
  for (const fate of FATES) {
    const share = shares[fate] ?? 0
    if (place < share) return fate
    place -= share
  }
  return undefined
}
