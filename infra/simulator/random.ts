/** Seeded randomness: the same seed gives the same fleet, whatever the machine. Not for anything secret. */

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  between(low: number, high: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  /** Standard normal distribution. */
  normal(): number
  /** A generator of its own for a part, so that one part's use does not shift another's. */
  fork(name: string): Random
}

export function createRandom(seed: string): Random {
  const next = sfc32(hash128(seed))
  const random: Random = {
    next,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (list) => list[Math.floor(next() * list.length)]!,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    fork: (name) => createRandom(`${seed}/${name}`),
  }
  return random
}

/** sfc32 of PractRand: small, fast, and passes its tests. */
function sfc32([a, b, c, d]: [number, number, number, number]): () => number {
  const step = () => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return (t >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 12; i += 1) step()
  return step
}

/** Four FNV-1a hashes with different starts. */
function hash128(text: string): [number, number, number, number] {
  const hash = (start: number) => {
    let h = start
    for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    return h | 0
  }
  return [hash(0x811c9dc5), hash(0x9e3779b9), hash(0x85ebca6b), hash(0xc2b2ae35)]
}
