/**
 * One of many processes does a work: whoever holds a session's advisory lock. When it dies its session ends, and another takes over. The
 * connection that holds the lock is kept for it; what is done over that connection is surely done by the holder.
 */
import type { ReservedSql } from 'postgres'
import type { Sql } from './connect.ts'

export type LeaderSql = ReservedSql<{ bigint: number }>

export interface Leadership {
  /** The connection with the lock; undefined: somebody else holds it. Asks Postgres each time. */
  lead(): Promise<LeaderSql | undefined>
  resign(): Promise<void>
}

/** `lock`: any number that nobody else locks. */
export function createLeadership(sql: Sql, lock: number): Leadership {
  let held: LeaderSql | undefined
  return {
    async lead() {
      const connection = held ?? ((await sql.reserve()) as LeaderSql)
      held = undefined
      try {
        // Asked again while held, the lock is only counted: it also tells that the session lives.
        const [row] = await connection<[{ locked: boolean }]>`
          select case when exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted
              and classid::bigint << 32 | objid::bigint = ${lock}::bigint) then true
            else pg_try_advisory_lock(${lock}::bigint) end as locked`
        if (row.locked) held = connection
        return held
      } finally {
        if (held === undefined) connection.release()
      }
    },
    async resign() {
      if (held === undefined) return
      await held`select pg_advisory_unlock(${lock}::bigint)`.catch(() => {})
      held.release()
      held = undefined
    },
  }
}
