/**
 * Lanes are leased: each has one owner at a time, known by its epoch. Processors share them evenly; those of a dead one are free when its
 * lease runs out. Losing a lease is always noticed by the transaction that would have needed it (lane-store.ts, commit).
 */

import type { Lane } from '../../api/ingest/lane-store.ts'
import type { Sql } from './connect.ts'

export const LEASE_SECONDS = 6
/** A processor that has not renewed for so long is dead to the others. Shorter than the lease, so that shares are right when it ends. */
const ALIVE_SECONDS = 5

/** Says that this processor lives, and how many lanes are its share. */
export async function shareOfLanes(sql: Sql, processor: string): Promise<number> {
  const [row] = await sql<[{ alive: number; lanes: number }]>`
    with me as (
      insert into processors (processor) values (${processor}) on conflict (processor) do update set beat_at = now()
    ), dead as (
      delete from processors where beat_at < now() - interval '1 hour'
    )
    select (select count(*)::int from lanes) as lanes,
           (select count(*)::int from processors where processor <> ${processor} and beat_at > now() - make_interval(secs => ${ALIVE_SECONDS})) + 1 as alive`
  return Math.ceil(row.lanes / row.alive)
}

/** Renews what is held; lanes that are no longer ours are missing in the answer. */
export async function renewLanes(sql: Sql, processor: string): Promise<number[]> {
  const rows = await sql<{ lane: number }[]>`
    update lanes set lease_until = now() + make_interval(secs => ${LEASE_SECONDS})
    where owner = ${processor} returning lane`
  return rows.map((row) => row.lane)
}

/** Takes at most `count` lanes that are free. */
export async function claimLanes(sql: Sql, processor: string, count: number): Promise<Lane[]> {
  if (count <= 0) return []
  const rows = await sql<LaneRow[]>`
    update lanes set owner = ${processor}, epoch = epoch + 1, lease_until = now() + make_interval(secs => ${LEASE_SECONDS})
    where lane in (
      select lane from lanes where owner is null or lease_until < now()
      order by lane limit ${count} for update skip locked)
    returning ${laneColumns(sql)}`
  return rows.map(laneOfRow)
}

/** Lanes as they stand. Waits for a transaction that still writes one of them. */
export async function currentLanes(sql: Sql, lanes: number[]): Promise<Lane[]> {
  const rows = await sql<LaneRow[]>`
    select ${laneColumns(sql)} from lanes where lane in (select unnest(${`{${lanes.join(',')}}`}::text::int[])) for share`
  return rows.map(laneOfRow)
}

interface LaneRow {
  lane: number
  epoch: number
  cursors: string
  watermark: number
  grace: number
}

function laneColumns(sql: Sql) {
  return sql`lane, epoch, cursors, coalesce(extract(epoch from watermark) * 1000, 0)::float8 as watermark,
    coalesce(extract(epoch from grace_since) * 1000, 0)::float8 as grace`
}

function laneOfRow({ lane, epoch, cursors, watermark, grace }: LaneRow): Lane {
  return { lane, epoch, cursors: JSON.parse(cursors), watermark, graceSince: grace, stored: cursors }
}

export async function releaseLanes(sql: Sql, processor: string, lanes: number[]): Promise<void> {
  await sql`
    update lanes set owner = null, lease_until = '-infinity'
    where owner = ${processor} and lane in (select unnest(${`{${lanes.join(',')}}`}::text::int[]))`
}

export async function leaveProcessors(sql: Sql, processor: string): Promise<void> {
  await sql`delete from processors where processor = ${processor}`
}

/** Closes the streams of bridges that died: their heartbeat is missing. Whoever closes one is told its number. */
export async function closeDeadStreams(sql: Sql, silentSeconds: number): Promise<number[]> {
  const rows = await sql<{ stream: number }[]>`
    update streams set closed_at = now()
    where closed_at is null and beat_at < now() - make_interval(secs => ${silentSeconds})
    returning stream`
  return rows.map((row) => row.stream)
}
