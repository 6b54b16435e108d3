/** Tests never sleep: they wait for what they need to see. */
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits until `condition` gives something truthy, and returns it. A condition that throws counts as not yet; its error shows when the
 * time is up. `everyMs`: so often it is asked; more seldom where that would be a load of its own.
 */
export async function until<T>(condition: () => T | Promise<T>, what: string, timeoutMs = 20_000, everyMs = 20): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      last = undefined
      const value = await condition()
      if (value) return value
    } catch (error) {
      last = error
    }
    if (performance.now() > end) throw new Error(`Waited ${timeoutMs / 1000} s in vain: ${what}`, { cause: last })
    await sleep(everyMs)
  }
}
