/**
 * The outbox's sequencer: gives committed rows their position, in one order without holes, so that whoever reads by position misses nothing.
 *
 * Ids cannot do that: they are given before the commit, and a lower one may become visible later. One process numbers at a time, over the
 * connection that holds the lock: when that is lost, so is the right to number, and another takes over within a second or two.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Queries, Sql } from './connect.ts'
import { createLeadership, type LeaderSql } from './leadership.ts'

/** Any number that nobody else locks. */
const OUTBOX_LOCK = 7_204_811_004
const ROWS = 2_000
/** Between two looks, while there is news and while there is not. */
const EVERY_MS = { busy: 25, idle: 50 }
const IDLE_AFTER_MS = 5_000
const STAND_BY_MS = 1_000

export interface Sequencer {
  /** Rows numbered by this process. */
  readonly numbered: number
  stop(): Promise<void>
}

/** `sql`: one connection of it is kept for the lock. */
export function startSequencer({ sql, log }: { sql: Sql; log: Logger }): Sequencer {
  const leadership = createLeadership(sql, OUTBOX_LOCK)
  const stopping = new AbortController()
  let numbered = 0
  const running = run()

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const leader = await leadership.lead()
        if (leader) await number(leader)
      } catch (error) {
        log.warn({ err: error }, 'The outbox could not be numbered and is tried again')
      }
      await wait(STAND_BY_MS)
    }
    await leadership.resign()
  }

  async function number(leader: LeaderSql): Promise<void> {
    let newsAt = performance.now()
    while (!stopping.signal.aborted) {
      const rows = await numberRows(leader, ROWS)
      numbered += rows
      const now = performance.now()
      if (rows > 0) newsAt = now
      if (rows < ROWS) await wait(now - newsAt > IDLE_AFTER_MS ? EVERY_MS.idle : EVERY_MS.busy)
    }
  }

  async function wait(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: stopping.signal }).catch(() => {})
  }

  return {
    get numbered() {
      return numbered
    },
    stop: async () => {
      stopping.abort()
      await running
    },
  }
}

/** Those without a position, by id. Only for who holds the lock. */
export async function numberRows(sql: Queries, limit: number): Promise<number> {
  const { count } = await sql`
    with news as materialized (
      select id, at, row_number() over (order by id) as n from (
        select id, at from outbox where position is null order by id limit ${limit}
      ) as waiting
    ), moved as (
      update outbox_end set position = position + (select count(*) from news) where exists (select from news)
      returning position - (select count(*) from news) as before
    )
    update outbox o set position = moved.before + news.n from news, moved where o.id = news.id and o.at = news.at`
  return count
}
