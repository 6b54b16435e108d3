/** The workflow instance whose code runs at the moment: there is at most one. Its `Date.now` is the time of its task. */
import type { Instance } from './instance.ts'

let current: Instance | undefined

export function active(): Instance {
  if (current === undefined) throw new Error('workflow code ran outside of an activation')
  return current
}

/** Runs workflow code until it waits for something that is not there yet. */
export async function activate(instance: Instance, now: number, run: () => void): Promise<void> {
  if (current !== undefined) throw new Error('two workflow instances at a time')
  const realNow = Date.now
  current = instance
  Date.now = () => now
  try {
    run()
    await new Promise(setImmediate)
    while (instance.wakeConditions()) await new Promise(setImmediate)
  } finally {
    current = undefined
    Date.now = realNow
  }
}
