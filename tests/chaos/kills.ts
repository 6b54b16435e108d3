/** kill -9, again and again: what happens in the field once a year, in minutes. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../infra/simulator/random.ts'
import { CASTOR_PROCESSES, type CastorProcess, type TestCastor } from '../support/castor.ts'

/** Tells of each kill: which process, and what else. */
export type Say = (line: string) => void

const SHORTEST_PAUSE_MS = 2_000
const LONGEST_PAUSE_MS = 15_000
const LONGEST_OUTAGE_MS = 3_000
/** A start that was interrupted halfway and then again would make a run of nothing but starts. */
const START_PAUSE_MS = 10_000

export interface Kills {
  counts: Map<CastorProcess, number>
}

/** Kills a random process at random moments until the time is up. */
export async function killAtRandom(castor: TestCastor, random: Random, untilMs: number, say: Say): Promise<Kills> {
  const counts = new Map<CastorProcess, number>()
  while (Date.now() < untilMs) {
    await sleep(random.between(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS))
    const name = random.pick(CASTOR_PROCESSES)
    if (!(await killOne(castor, name, random, say))) continue
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return { counts }
}

/** False: it was not there, because it had just been killed. */
export async function killOne(castor: TestCastor, name: CastorProcess, random: Random, say: Say): Promise<boolean> {
  if (!(await castor.kill(name))) return false
  if (name !== 'supervisor') {
    say(`killed ${name}`)
    return true
  }
  const outage = random.between(0, LONGEST_OUTAGE_MS)
  await sleep(outage)
  await castor.start()
  say(`killed supervisor, started again after ${(outage / 1000).toFixed(1)} s`)
  await sleep(START_PAUSE_MS)
  return true
}
