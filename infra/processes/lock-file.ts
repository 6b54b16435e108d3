/**
 * A lock that is a file naming its holder by pid and start time. A holder that died, also by kill -9, holds nothing: the next takes it
 * over. For the data folder (one start at a time) and for building into the cache.
 */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { identityOf, isAlive, type ProcessIdentity } from './identity.ts'

export type LockAttempt = { release: () => Promise<void> } | { heldBy: ProcessIdentity }

/** Takes the lock or says who holds it. */
export async function tryLock(file: string): Promise<LockAttempt> {
  const me = identityOf(process.pid)
  if (!me) throw new Error('Cannot read the start time of this process.')
  const mine = `${file}.${process.pid}`
  await writeFile(mine, JSON.stringify(me), { mode: 0o600 })
  try {
    for (;;) {
      // link fails when the name exists: the one step that only one of several can win.
      if (await linked(mine, file)) return { release: () => releaseLock(file, me) }
      const content = await readFile(file, 'utf8').catch(() => null)
      if (content === null) continue
      const holder = parseHolder(content)
      if (holder && isAlive(holder)) return { heldBy: holder }
      await takeAway(file, content)
    }
  } finally {
    await rm(mine, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock of a dead holder; should another have taken it over in between, it is put back. */
async function takeAway(file: string, content: string): Promise<void> {
  const aside = `${file}.${process.pid}.dead`
  try {
    await rename(file, aside)
  } catch {
    return
  }
  if ((await readFile(aside, 'utf8')) !== content) await linked(aside, file)
  await rm(aside, { force: true })
}

async function releaseLock(file: string, me: ProcessIdentity): Promise<void> {
  const holder = parseHolder(await readFile(file, 'utf8').catch(() => ''))
  if (holder?.pid === me.pid && holder.started === me.started) await rm(file, { force: true })
}

function parseHolder(content: string): ProcessIdentity | null {
  try {
    const { pid, started } = JSON.parse(content)
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null
  } catch {
    return null
  }
}
