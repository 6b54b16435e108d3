/**
 * A lock that is a file naming its holder by pid and start time. A holder that died, also by kill -9, holds nothing: the next takes
 * over. For the data folder (one start at a time) and for building into the cache.
 *
 * Taking over must be one step that only one of several can win, and removing a dead lock before making one's own is two. So locks are
 * numbered, `FILE.1`, `FILE.2`, …: the highest counts, and whoever finds its holder dead or gone makes the next number, which link()
 * lets only one do. A released lock stays as a file without a holder, so that numbers never go back.
 */
import { link, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { identityOf, isAlive, type ProcessIdentity } from './identity.ts'

export type LockAttempt = { release: () => Promise<void> } | { heldBy: ProcessIdentity }

let attempts = 0

/** Takes the lock or says who holds it. */
export async function tryLock(file: string): Promise<LockAttempt> {
  const me = identityOf(process.pid)
  if (!me) throw new Error('Cannot read the start time of this process.')
  const mine = `${file}.new.${process.pid}.${attempts++}`
  await writeFile(mine, JSON.stringify(me), { mode: 0o600 })
  try {
    for (;;) {
      const newest = (await numbersOf(file)).at(-1) ?? 0
      if (newest > 0) {
        const content = await readFile(`${file}.${newest}`, 'utf8').catch(() => null)
        if (content === null) continue
        const holder = parseHolder(content)
        if (holder && isAlive(holder)) return { heldBy: holder }
      }
      if (await take(file, newest + 1, mine)) return { release: () => release(file, newest + 1) }
    }
  } finally {
    await rm(mine, { force: true })
  }
}

async function take(file: string, number: number, mine: string): Promise<boolean> {
  try {
    await link(mine, `${file}.${number}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  const numbers = await numbersOf(file)
  if (numbers.at(-1) !== number) {
    // What we looked at was long past: others have been here and cleaned up behind them.
    await rm(`${file}.${number}`, { force: true })
    return false
  }
  await Promise.all(numbers.filter((other) => other < number).map((other) => rm(`${file}.${other}`, { force: true })))
  return true
}

/** Emptied, which also a full disk allows. */
async function release(file: string, number: number): Promise<void> {
  await truncate(`${file}.${number}`)
}

async function numbersOf(file: string): Promise<number[]> {
  const prefix = `${basename(file)}.`
  const names = await readdir(dirname(file))
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

function parseHolder(content: string): ProcessIdentity | null {
  try {
    const { pid, started } = JSON.parse(content)
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null
  } catch {
    return null
  }
}
