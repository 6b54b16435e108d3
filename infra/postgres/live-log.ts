/** What the live stream reads (api/live/ports.ts): the outbox by position, the ingest log by (stream, seq), twins as they are now. */
import type { LogEntry } from '../../api/ingest/lane-store.ts'
import type { LiveDevice, LiveLogStream, LiveStore, OutboxRow } from '../../api/live/ports.ts'
import type { TwinRow } from '../../api/ports.ts'
import { epochMs, TWIN_COLUMNS } from './columns.ts'
import type { Sql } from './connect.ts'

/** A bridge opens its stream in one statement, which is cancelled after 10 s. */
const SETTLED_SECONDS = 60
/** Times are rounded on their way. */
const ROUNDING_MS = 1_000

const OUTBOX_COLUMNS = `position, ${epochMs('at')} as at, tenant, incarnation, device, coalesce(revision, 0) as revision, kind, event, cause`

export function postgresLiveStore(sql: Sql): LiveStore {
  return {
    outboxEnd: async () => {
      const [row] = await sql<[{ position: number }]>`select position from outbox_end`
      return row.position
    },
    outbox: (after, limit) => sql<OutboxRow[]>`
      select ${sql.unsafe(OUTBOX_COLUMNS)} from outbox where position > ${after} order by position limit ${limit}`,
    outboxPage: async (tenant, after, upTo) => {
      const rows = await sql<Array<{ position: number; row: string | null }>>`
        select position, case when tenant = ${tenant} then json_build_object('position', position, 'at', ${sql.unsafe(epochMs('at'))}, 'tenant', tenant,
          'incarnation', incarnation, 'device', device, 'revision', coalesce(revision, 0), 'kind', kind, 'event', event, 'cause', cause)::text end as row
        from outbox where position > ${after} and position <= ${upTo} order by position`
      return {
        positions: rows.map(({ position }) => position),
        rows: rows.flatMap(({ row }) => (row === null ? [] : [JSON.parse(row) as OutboxRow])),
      }
    },
    nextOutbox: async (after) => {
      const [row] = await sql<Array<{ number: number; at: number }>>`
        select position as number, ${sql.unsafe(epochMs('at'))} as at from outbox where position > ${after} order by position limit 1`
      return row
    },

    streams: () => sql<LiveLogStream[]>`
      select stream, closed_at is not null as closed, opened_at < now() - make_interval(secs => ${SETTLED_SECONDS}) as settled from streams`,
    lastEntries: (streams) => lastEntries(sql, streams),
    entries: (cursors, limit) => entries(sql, cursors, limit),
    entryPage: (stream, after, upTo) => sql<LogEntry[]>`
      select stream, seq, lane, ${sql.unsafe(epochMs('at'))} as at, heads, body from ingest_log
      where stream = ${stream} and seq > ${after} and seq <= ${upTo} order by seq`,
    nextEntry: async (stream, after) => {
      const [row] = await sql<Array<{ number: number; at: number }>>`
        select seq as number, ${sql.unsafe(epochMs('at'))} as at from ingest_log
        where stream = ${stream} and seq > ${after} order by seq limit 1`
      return row
    },

    devices: (incarnations) => sql<LiveDevice[]>`
      select incarnation, tenant, device, model from devices where incarnation in (select unnest(${list(incarnations)}::text::int[]))`,
    twins: (incarnations) => sql<Array<TwinRow & { tenant: string }>>`
      select d.tenant, ${sql.unsafe(TWIN_COLUMNS)} from devices d left join twin_inbox i on i.incarnation = d.incarnation
      where d.incarnation in (select unnest(${list(incarnations)}::text::int[]))`,
  }
}

async function lastEntries(sql: Sql, streams: number[]): Promise<Map<number, number>> {
  if (streams.length === 0) return new Map()
  const rows = await sql<Array<{ stream: number; seq: number }>>`
    select asked.stream, last.seq from unnest(${list(streams)}::text::int[]) as asked (stream)
    cross join lateral (select seq from ingest_log l where l.stream = asked.stream order by seq desc limit 1) as last`
  return new Map(rows.map(({ stream, seq }) => [stream, seq]))
}

/** All streams at once. The time keeps old partitions out of it. */
async function entries(sql: Sql, cursors: Array<{ stream: number; after: number; at: number }>, limit: number): Promise<LogEntry[]> {
  return await sql<LogEntry[]>`
    select l.* from unnest(${list(cursors.map(({ stream }) => stream))}::text::int[], ${list(cursors.map(({ after }) => after))}::text::bigint[],
      ${list(cursors.map(({ at }) => at - ROUNDING_MS))}::text::float8[]) as asked (stream, after, at)
    cross join lateral (
      select stream, seq, lane, ${sql.unsafe(epochMs('at'))} as at, heads, body from ingest_log l
      where l.stream = asked.stream and l.seq > asked.after and l.at >= to_timestamp(asked.at / 1000)
      order by seq limit ${limit}
    ) as l
    order by l.stream, l.seq`
}

function list(values: number[]): string {
  return `{${values.join(',')}}`
}
