/** What is remembered of devices in memory, for convenience only: it may be forgotten at any time. */

/** Devices; beyond, all are forgotten. */
const MOST = 100_000

export function remember(map: Map<number, number>, incarnation: number, value: number): void {
  if (map.size >= MOST && !map.has(incarnation)) map.clear()
  map.set(incarnation, value)
}
