/**
 * The ingest log in Postgres: the store behind api/ingest/writer.ts. Partitions are somebody else's (partitions.ts), made ahead.
 *
 * A commit is one statement. Its `update streams` is the fence: it locks the stream's row, so a commit and a close never overlap, and
 * a commit whose connection was lost is waited for before it is tried again. Few large parameters and one bytea, split in SQL: arrays
 * of thousands of small values cost three times as much on both sides (docs/performance.md).
 */
import type { Commit, IngestLogStore } from '../../api/ingest/log.ts'
import { connect, type Sql } from './connect.ts'
import { ensurePartitions } from './partitions.ts'

/** Between heads of two entries: JSON never holds it raw. */
const SEPARATOR = '\u001e'
/** Longer than the server's own timeouts: only for a network that swallows packets. */
const ANSWER_TIMEOUT_MS = 15_000

export interface IngestLogStoreOptions {
  url: string
  /** Names the run in `streams`, for people. */
  bridge: string
  answerTimeoutMs?: number
}

export function postgresIngestLog({ url, bridge, answerTimeoutMs = ANSWER_TIMEOUT_MS }: IngestLogStoreOptions): IngestLogStore {
  let sql = dial()

  return {
    open: () => answered(openStream(sql, bridge)),
    write: (commit) => answered(writeCommit(sql, commit)),
    close: (stream) => answered(closeStream(sql, stream)),
    end: () => sql.end({ timeout: 1 }),
  }

  function dial(): Sql {
    const timeouts = { statementTimeoutMs: 10_000, lockTimeoutMs: 5000, transactionTimeoutMs: 12_000, connectTimeoutMs: 5000 }
    return connect(url, { max: 1, name: 'bridge log', ...timeouts })
  }

  /** A connection that does not answer is given up: what it was asked has an unknown outcome. */
  async function answered<T>(query: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const silent = sql
        sql = dial()
        silent.end({ timeout: 0 }).catch(() => {})
        reject(new Error(`Postgres did not answer within ${answerTimeoutMs} ms`))
      }, answerTimeoutMs)
    })
    return Promise.race([query, late]).finally(() => clearTimeout(timer))
  }
}

async function openStream(sql: Sql, bridge: string): Promise<number> {
  await ensurePartitions(sql, new Date())
  const [row] = await sql<[{ stream: number }]>`insert into streams (bridge) values (${bridge}) returning stream`
  return row.stream
}

async function writeCommit(sql: Sql, commit: Commit): Promise<'written' | 'closed'> {
  try {
    if (await insertEntries(sql, commit)) return 'written'
  } catch (error) {
    // After a long outage the partition of that time may be gone.
    if ((error as { code?: string }).code === NO_PARTITION) await ensurePartitions(sql, new Date(commit.at))
    throw error
  }
  return (await hasEntry(sql, commit)) ? 'written' : 'closed'
}

/** check_violation: Postgres says so of a row that no partition takes. */
const NO_PARTITION = '23514'

/** True when the stream is open: then all entries stand in the log, now or already before. */
async function insertEntries(sql: Sql, { stream, seq, at, lanes, heads, lengths, body }: Commit): Promise<boolean> {
  const [row] = await sql<[{ open: boolean }]>`
    with fence as (
      update streams set beat_at = now() where stream = ${stream} and closed_at is null returning stream
    ), entry as (
      select n, lane, heads, length, 1 + sum(length) over (order by n) - length as start
      from unnest(
        string_to_array(${lanes.join()}, ',')::smallint[],
        string_to_array(${heads.join(SEPARATOR)}, ${SEPARATOR}),
        string_to_array(${lengths.join()}, ',')::integer[]
      ) with ordinality as e (lane, heads, length, n)
    ), written as (
      insert into ingest_log (stream, seq, lane, at, heads, body)
      select stream, ${seq}::bigint + n - 1, lane, ${new Date(at)}::timestamptz, heads, substring(body from start::integer for length)
      from fence, entry, (select ${body}::bytea as body) as commit
      on conflict do nothing
    )
    select exists (select from fence) as open`
  return row.open
}

async function hasEntry(sql: Sql, { stream, seq, at }: Commit): Promise<boolean> {
  const [row] = await sql<[{ found: boolean }]>`
    select exists (select from ingest_log where stream = ${stream} and seq = ${seq} and at = ${new Date(at)}) as found`
  return row.found
}

async function closeStream(sql: Sql, stream: number): Promise<void> {
  await sql`update streams set closed_at = now() where stream = ${stream} and closed_at is null`
}
