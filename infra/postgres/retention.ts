/**
 * Retention: every table that grows is bounded by age, and where a device decides how fast it grows, by bytes (docs/architecture.md
 * §3.13). One run does a bounded piece of work; what is left over waits for the next, a minute later.
 */
import type { Logger } from 'pino'
import { FINISHED } from '../../api/ingest/lane-store.ts'
import { NO_STREAM } from '../../api/ingest/log.ts'
import { deleteClearedAlarms } from './alarm-retention.ts'
import type { Sql } from './connect.ts'
import { ERRORS_MINUTES } from './downlink.ts'
import { deleteEndedNotices } from './notice-retention.ts'
import { dropPartition as dropAny, type ExistingPartition, finishDrops, listPartitions } from './old-partitions.ts'
import { ensurePartitions } from './partitions.ts'
import { deleteOldPredictions, deletePredictionsBySize } from './prediction-retention.ts'
import { deleteEndedRollouts } from './rollout-retention.ts'
import { deleteEndedActions } from './rule-actions.ts'
import { deleteEndedTickets } from './ticket-retention.ts'
import { deleteEndedDeliveries, passEvents } from './webhook-retention.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** A commit that is tried again may still come into the partition before the one of now, which is always there (partitions.ts). */
const LOG_MARGIN_MS = 10 * MINUTE_MS
const PARTITIONS_PER_RUN = 20
const ROWS_PER_RUN = 20_000

export interface RetentionLimits {
  /** By age, for tables in partitions. */
  ages: { telemetry: number; dead_letters: number; message_ids: number; twin_history: number; outbox: number; webhook_events: number }
  /** All partitions of the table together. Whole partitions go, the oldest first, but never the one of now. */
  bytes: { telemetry: number; dead_letters: number; message_ids: number; outbox: number; webhook_events: number }
  predictionBytes: number
  /** What every lane has passed of the ingest log, for live streams that come back. */
  log: { ageMs: number; bytes: number }
}

/** All together they may take some two thirds of the disk, or of 200 GB where the disk is not known. */
export function limitsFor(diskBytes: number = 200e9): RetentionLimits {
  return {
    ages: {
      ...{ telemetry: 30 * DAY_MS, dead_letters: 30 * DAY_MS, message_ids: 7 * DAY_MS, twin_history: 365 * DAY_MS },
      // For whom an event is stays known for longer than the event: so what a webhook missed is counted.
      ...{ outbox: 7 * DAY_MS, webhook_events: 8 * DAY_MS },
    },
    bytes: {
      ...{ telemetry: diskBytes * 0.4, dead_letters: diskBytes * 0.05, message_ids: diskBytes * 0.05 },
      ...{ outbox: diskBytes * 0.05, webhook_events: diskBytes * 0.02 },
    },
    predictionBytes: diskBytes * 0.03,
    log: { ageMs: 60 * MINUTE_MS, bytes: diskBytes * 0.1 },
  }
}

export interface RetentionOptions {
  sql: Sql
  log: Logger
  limits: RetentionLimits
  /** Epoch ms. */
  now: number
}

/** One run. A step that fails (a lock that was not given, say) is logged, and the others go on. Returns what was dropped or deleted. */
export async function retain(options: RetentionOptions): Promise<Record<string, number>> {
  const { sql, log, limits } = options
  const now = new Date(options.now)
  const done: Record<string, number> = {}
  const steps: Array<[name: string, step: () => Promise<number>]> = [
    ['unfinished drops', async () => (await finishDrops(sql)).length],
    ['ingest_log partitions', () => dropProcessedLog(options)],
    ...Object.entries(limits.ages).map(([table, age]): [string, () => Promise<number>] => [
      `${table} partitions by age`,
      () => dropByAge(options, table, age),
    ]),
    ...Object.entries(limits.bytes).map(([table, bytes]): [string, () => Promise<number>] => [
      `${table} partitions by size`,
      () => dropBySize(options, table, bytes),
    ]),
    // After the drops: of what went by size, the time of late readings is made again, empty.
    ['partitions made', async () => (await ensurePartitions(sql, now)).length],
    ['dead_letters by size', () => deleteDeadLetters(sql, limits.bytes.dead_letters)],
    ['streams', () => deleteStreams(sql, now)],
    ['twin_requests', () => deleteRequests(sql, now)],
    ['removed_devices', () => deleteRemovedDevices(sql, now)],
    ['device_errors', () => deleteDeviceErrors(sql, now)],
    ['updates', () => deleteEndedUpdates(sql, now)],
    ['alarms', () => deleteClearedAlarms(sql, now)],
    ['rollouts', () => deleteEndedRollouts(sql, now)],
    ['rule_actions', () => deleteEndedActions(sql)],
    ['tickets', () => deleteEndedTickets(sql, now)],
    ['webhook_deliveries', () => deleteEndedDeliveries(sql, options.now)],
    ['predictions', () => deleteOldPredictions(sql, now)],
    ['predictions by size', () => deletePredictionsBySize(sql, limits.predictionBytes)],
    ['notices', () => deleteEndedNotices(sql, options.now)],
  ]
  for (const [name, step] of steps) {
    try {
      const count = await step()
      if (count > 0) done[name] = count
    } catch (error) {
      log.warn({ err: error, step: name }, 'Retention could not finish a step and tries it again in a minute')
    }
  }
  if (Object.keys(done).length > 0) log.info({ retention: done }, 'Retention')
  return done
}

/**
 * An ingest log partition goes when it was kept for long enough (or the log is too large), every lane has passed every entry of it, and no
 * open stream may still write into it: times never fall along a stream, so one whose last entry is later cannot.
 */
async function dropProcessedLog({ sql, limits, now }: RetentionOptions): Promise<number> {
  const partitions = await listPartitions(sql, 'ingest_log')
  let total = partitions.reduce((sum, { bytes }) => sum + bytes, 0)
  const over = partitions.filter(({ to, bytes }) => {
    const isTooMuch = total > limits.log.bytes
    total -= bytes
    return to <= now - (isTooMuch ? LOG_MARGIN_MS : Math.max(LOG_MARGIN_MS, limits.log.ageMs))
  })
  if (over.length === 0) return 0
  const streams = await sql<Array<{ stream: number; open: boolean }>>`select stream, closed_at is null as open from streams`
  const writtenUpTo = await openStreamsWrittenUpTo(
    sql,
    streams.filter(({ open }) => open).map(({ stream }) => stream),
  )
  const cursors = (await sql<Array<{ cursors: string }>>`select cursors from lanes`).map((lane) => JSON.parse(lane.cursors))
  let dropped = 0
  for (const partition of over) {
    if (dropped >= PARTITIONS_PER_RUN || writtenUpTo < partition.to) break
    if (!(await isProcessed(sql, partition, streams, cursors))) break
    await dropPartition(sql, partition)
    dropped++
  }
  return dropped
}

/** Epoch ms; 0 while an open stream has not written anything. */
async function openStreamsWrittenUpTo(sql: Sql, open: number[]): Promise<number> {
  let least = Infinity
  for (const stream of open) {
    const [last] = await sql<Array<{ at: number }>>`
      select (extract(epoch from at) * 1000)::float8 as at from ingest_log where stream = ${stream} order by seq desc limit 1`
    least = Math.min(least, last?.at ?? 0)
  }
  return least
}

type Cursors = { [stream: string]: number }

async function isProcessed(sql: Sql, { name }: ExistingPartition, streams: Array<{ stream: number }>, lanes: Cursors[]): Promise<boolean> {
  for (const { stream } of streams) {
    const [last] = await sql<Array<{ seq: number | null }>>`select max(seq) as seq from ${sql(name)} where stream = ${stream}`
    const seq = last?.seq ?? 0
    if (lanes.some((cursors) => cursors[stream] !== FINISHED && (cursors[stream] ?? 0) < seq)) return false
  }
  return true
}

async function dropPartition(sql: Sql, partition: ExistingPartition): Promise<void> {
  if (partition.table === 'webhook_events') await passEvents(sql, partition)
  await dropAny(sql, partition)
}

async function dropByAge({ sql, now }: RetentionOptions, table: string, ageMs: number): Promise<number> {
  const old = (await listPartitions(sql, table)).filter(({ to }) => to <= now - ageMs).slice(0, PARTITIONS_PER_RUN)
  for (const partition of old) await dropPartition(sql, partition)
  return old.length
}

async function dropBySize({ sql, log, now }: RetentionOptions, table: string, limit: number): Promise<number> {
  const partitions = await listPartitions(sql, table)
  let total = partitions.reduce((sum, { bytes }) => sum + bytes, 0)
  let dropped = 0
  for (const partition of partitions) {
    if (total <= limit || dropped >= PARTITIONS_PER_RUN) break
    // An empty one, made ahead for late readings, gives nothing back.
    if (partition.to > now || (await isEmpty(sql, partition.name))) continue
    await dropPartition(sql, partition)
    log.warn({ table, partition: partition.name, bytes: partition.bytes, limit }, 'Dropped the oldest data of a table that is too large')
    total -= partition.bytes
    dropped++
  }
  if (total > limit) log.warn({ table, bytes: total, limit }, 'A table is larger than it should be, and all of it is of today')
  return dropped
}

async function isEmpty(sql: Sql, name: string): Promise<boolean> {
  const [row] = await sql<[{ found: boolean }]>`select exists (select from ${sql(name)}) as found`
  return !row.found
}

/** One bad device can fill a day's partition with garbage: then its oldest rows go. Their space is used again, so the table grows no more. */
async function deleteDeadLetters(sql: Sql, limit: number): Promise<number> {
  const partitions = await listPartitions(sql, 'dead_letters')
  if (partitions.reduce((sum, { bytes }) => sum + bytes, 0) <= limit) return 0
  const [row] = await sql<[{ bytes: number }]>`select coalesce(sum(octet_length(raw) + 300), 0)::float8 as bytes from dead_letters`
  if (row.bytes <= limit) return 0
  const { count } = await sql`
    delete from dead_letters where id in (
      select id from (
        select id, sum(octet_length(raw) + 300) over (order by id) as older from dead_letters order by id limit ${ROWS_PER_RUN}
      ) as oldest where older <= ${row.bytes - limit * 0.9}::float8)`
  return count
}

/** Closed, and read to the end by every lane. */
async function deleteStreams(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from streams where closed_at < ${now}::timestamptz - interval '1 hour'
      and not exists (select from lanes where coalesce((cursors::json ->> stream::text)::bigint, 0) <> ${FINISHED})`
  return count
}

async function deleteRequests(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from twin_requests where id in (
      select id from twin_requests where created_at < ${now}::timestamptz - interval '7 days' and answered_at is not null
      order by created_at limit ${ROWS_PER_RUN})`
  return count
}

/** Kept for a day after the end, because messages and signals of that registration may still be under way. */
async function deleteRemovedDevices(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from removed_devices where incarnation in (
      select incarnation from removed_devices where ended_at < ${now}::timestamptz - interval '1 day' limit ${ROWS_PER_RUN})`
  return count
}

/** As long as commands, but for those whose end a rollout is yet to see: one that stands still looks on when it goes on. */
async function deleteEndedUpdates(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from updates where id in (
      select id from updates u where ended_at < ${now}::timestamptz - interval '30 days'
        and not exists (select from rollout_targets t where t."update" = u.id and t.status = 'underway')
      order by ended_at limit ${ROWS_PER_RUN})`
  return count
}

/** Words that no bridge took, because the connection had gone, and those of devices without one: up to ten a minute from each. */
async function deleteDeviceErrors(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from device_errors where id in (
      select id from device_errors
      where at < ${now}::timestamptz - make_interval(mins => case when stream = ${NO_STREAM} then ${ERRORS_MINUTES}::int else 1 end)
      order by id limit ${10 * ROWS_PER_RUN})`
  return count
}
