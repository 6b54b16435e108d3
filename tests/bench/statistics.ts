/** Medians, and runs in turn: a machine that is now quick and now slow must not be taken for a difference. */

export function median(values: number[]): number {
  if (values.length === 0) throw new Error('the median of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function percentile(values: number[], percent: number): number {
  if (values.length === 0) throw new Error('a percentile of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)]!
}

/** a, b, a, b, …: each pair stands for the same minute of the machine. */
export async function inTurn<A, B>(
  rounds: number,
  a: (round: number) => Promise<A>,
  b: (round: number) => Promise<B>,
): Promise<Array<[A, B]>> {
  const pairs: Array<[A, B]> = []
  for (let round = 0; round < rounds; round++) pairs.push([await a(round), await b(round)])
  return pairs
}

/** To three significant digits: more would pretend. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
