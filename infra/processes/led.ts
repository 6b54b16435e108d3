/** Work that one process does at a time, by a lock in Postgres: the others stand by, and one of them goes on within a second or two. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from '../postgres/connect.ts'
import { createLeadership } from '../postgres/leadership.ts'
import { checkSchema } from '../postgres/migrate.ts'

export interface LedOptions {
  /** One of its connections holds the lock. */
  sql: Sql
  /** Any number that nobody else locks. */
  lock: number
  /** What a leader does until it is told to stop, or `leads` no more; it asks again and again. */
  run(stopping: AbortSignal, leads: () => Promise<boolean>): Promise<void>
  /** Once, when Postgres has the schema that is known here: for what every process does. */
  begin?(): void
  /** It could not begin, or not go on; it is tried again. */
  trouble(error: unknown): void
}

export interface Led {
  /** Why it cannot serve, or true. */
  ready(): true | string
  stop(): Promise<void>
}

const STAND_BY_MS = 1_000

export function startLed({ sql, lock, run, begin, trouble }: LedOptions): Led {
  const leadership = createLeadership(sql, lock)
  const leads = async () => (await leadership.lead()) !== undefined
  const stopping = new AbortController()
  let why: string | undefined = 'starting'
  const ended = stand()

  async function stand(): Promise<void> {
    let isKnown = false
    while (!stopping.signal.aborted) {
      try {
        // Waits for whoever migrates, and never writes into a schema that it does not know.
        if (!isKnown) {
          await checkSchema(sql)
          begin?.()
          isKnown = true
        }
        const isLeader = await leads()
        why = undefined
        if (isLeader) await run(stopping.signal, leads)
      } catch (error) {
        why = (error as Error).message
        trouble(error)
      }
      await sleep(STAND_BY_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  return {
    ready: () => why ?? true,
    stop: async () => {
      stopping.abort()
      await ended
      await leadership.resign()
    },
  }
}
