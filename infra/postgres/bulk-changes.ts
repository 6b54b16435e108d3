/** Bulk changes in Postgres. Each target has the id of its request and its command from the beginning: nobody is asked twice. */
import type { BulkChange, BulkLook, BulkStanding, BulkStore, CommandRules } from '../../activities/ports.ts'
import { laneOf } from '../../api/ingest/log.ts'
import type { Progress } from '../../twin-models/core/pacing.ts'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { type Change, MOST_TARGETS } from '../../twin-models/schemas/bulk-change.ts'
import { settleCommands, settleWishes } from './bulk-settle.ts'
import type { Queries, Sql, Transaction } from './connect.ts'

export function createBulkStore(sql: Sql): BulkStore {
  return {
    register: (change) => registerBulkChange(sql, change),
    find: (tenant, id) => findBulkChange(sql, tenant, id),
    select: (change, workflow, problemOf) => sql.begin((tx) => select(tx, change, workflow, problemOf)),
    advance: (change, step, rules) => sql.begin((tx) => advance(tx, change, step, rules)),
  }
}

export async function registerBulkChange(sql: Queries, { id, tenant, filter, change, pace, by }: BulkChange): Promise<boolean> {
  const [known] = await sql`select 1 as one from tenants where tenant = ${tenant}`
  if (!known) return false
  await sql`
    insert into bulk_changes (id, tenant, filter, change, pace, requested_by)
    values (${id}, ${tenant}, ${filter}, ${JSON.stringify(change)}, ${JSON.stringify(pace)}, ${by}) on conflict (id) do nothing`
  return true
}

export async function findBulkChange(sql: Queries, tenant: string, id: string): Promise<BulkChange | undefined> {
  const [row] = await sql<Array<{ filter: string; change: string; pace: string; by: string }>>`
    select filter, change, pace, requested_by as by from bulk_changes where id = ${id} and tenant = ${tenant}`
  return row && { id, tenant, filter: row.filter, change: JSON.parse(row.change), pace: JSON.parse(row.pace), by: row.by }
}

export interface UntoldBulkChange {
  id: string
  tenant: string
  workflow: string | null
  asked: 'pause' | 'resume' | 'cancel' | null
}

/** Those without a workflow, and those whose workflow is to be told something. */
export async function bulkAsked(sql: Queries): Promise<UntoldBulkChange[]> {
  return sql<UntoldBulkChange[]>`
    select id, tenant, workflow, asked from bulk_changes
    where ended_at is null and (workflow is null or asked is not null) order by number limit 50`
}

export async function bulkStarted(sql: Queries, id: string, workflow: string): Promise<void> {
  await sql`update bulk_changes set workflow = ${workflow} where id = ${id} and workflow is null`
}

export async function bulkTold(sql: Queries, id: string, asked: string): Promise<void> {
  await sql`update bulk_changes set asked = null where id = ${id} and asked = ${asked}`
}

export const FILTERED = 'devices d left join twin_inbox i on i.incarnation = d.incarnation'

async function select(
  tx: Transaction,
  { id, tenant, filter }: BulkChange,
  workflow: string,
  problemOf: (model: string) => string | undefined,
): Promise<BulkStanding> {
  const [bulk] = await tx<Array<{ selected: boolean; worker: string | null; status: BulkStanding['status']; reason: string | null }>>`
    select selected_at is not null as selected, workflow as worker, status, reason from bulk_changes where id = ${id} and tenant = ${tenant} for update`
  if (!bulk) throw new CastorError('not-found', `There is no bulk change ${id} of tenant ${tenant}.`)
  if ((bulk.worker ?? workflow) !== workflow)
    throw new CastorError('conflict', `The workflow ${bulk.worker} works on this bulk change already.`)
  if (bulk.selected) {
    const { status, reason } = bulk
    return { status, ...(reason !== null && { reason }), upTo: askedOf(await progressOf(tx, id)) }
  }
  const { where, parameters } = compileFilter(parseFilter(filter), 3)
  const made = await tx.unsafe(
    `insert into bulk_targets (bulk, number, incarnation, device)
     select $1::uuid, row_number() over (order by md5(d.device || $1::text)), d.incarnation, d.device
     from ${FILTERED} where d.tenant = $2 and ${where} limit ${MOST_TARGETS + 1}`,
    [id, tenant, ...parameters],
  )
  if (made.count > MOST_TARGETS) throw tooMany()
  const models = await tx<Array<{ model: string }>>`
    select distinct d.model from bulk_targets t join devices d using (incarnation) where t.bulk = ${id}`
  for (const { model } of models) {
    const problem = problemOf(model)
    if (problem === undefined) continue
    await tx`
      update bulk_targets t set status = 'skipped', reason = ${problem}, ended_at = now()
      from devices d where t.bulk = ${id} and d.incarnation = t.incarnation and d.model = ${model}`
  }
  await tx`update bulk_changes set selected_at = now(), workflow = ${workflow} where id = ${id}`
  return { status: 'running', upTo: 0 }
}

function askedOf({ underway, succeeded, failed }: Progress): number {
  return underway + succeeded + failed
}

function tooMany(): CastorError {
  return new CastorError('invalid', `The filter finds more than ${MOST_TARGETS} devices: make it narrower.`)
}

async function advance(
  tx: Transaction,
  bulk: BulkChange,
  { upTo, status, reason }: Parameters<BulkStore['advance']>[1],
  rules: (model: string) => CommandRules | undefined,
): Promise<BulkLook> {
  const { id, tenant, change } = bulk
  const isEnd = status === 'cancelled' || status === 'completed' || status === 'failed'
  await tx`
    update bulk_changes set status = ${status}, reason = ${reason ?? null}, ended_at = case when ${isEnd} then coalesce(ended_at, now()) end
    where id = ${id} and tenant = ${tenant}`
  await (change.wish ? settleWishes(tx, bulk, change.wish) : settleCommands(tx, bulk))
  const before = await progressOf(tx, id)
  const more = upTo - askedOf(before)
  if (more > 0) await start(tx, bulk, more, rules)
  if (isEnd) await skipWaiting(tx, id, status)
  return { progress: more > 0 || isEnd ? await progressOf(tx, id) : before, reasons: await reasonsOf(tx, id) }
}

async function skipWaiting(tx: Transaction, id: string, reason: string): Promise<void> {
  await tx`
    update bulk_targets set status = 'skipped', reason = ${reason}, ended_at = now() where bulk = ${id} and status = 'waiting'`
}

export async function progressOf(tx: Queries, id: string): Promise<Progress> {
  const rows = await tx<Array<{ status: string; count: number }>>`
    select status, count(*)::int as count from bulk_targets where bulk = ${id} group by status`
  const of = (status: string) => rows.find((row) => row.status === status)?.count ?? 0
  const total = rows.reduce((sum, { count }) => sum + count, 0)
  return {
    total,
    waiting: of('waiting'),
    underway: of('started'),
    succeeded: of('succeeded'),
    failed: of('failed'),
    skipped: of('skipped'),
  }
}

async function reasonsOf(tx: Queries, id: string): Promise<BulkLook['reasons']> {
  return await tx<BulkLook['reasons']>`
    select status, coalesce(reason, 'unknown') as reason, count(*)::int as count, (array_agg(device order by number))[1:5] as devices
    from bulk_targets where bulk = ${id} and status in ('failed', 'skipped') group by status, coalesce(reason, 'unknown')
    order by count(*) desc limit 10`
}

interface Target {
  request: string
  incarnation: number
  device: string
  model: string
}

async function start(tx: Transaction, bulk: BulkChange, count: number, rules: (model: string) => CommandRules | undefined): Promise<void> {
  const { id, tenant, change, by } = bulk
  const targets = await tx<Target[]>`
    update bulk_targets t set status = 'started', started_at = now()
    from (select number from bulk_targets where bulk = ${id} and status = 'waiting' order by number limit ${count}) next, devices d
    where t.bulk = ${id} and t.number = next.number and d.incarnation = t.incarnation
    returning t.request, t.incarnation, t.device, d.model`
  // Those that were removed since: they are not devices any more.
  await tx`
    update bulk_targets t set status = 'skipped', reason = 'device-removed', ended_at = now()
    where bulk = ${id} and status = 'waiting' and not exists (select from devices d where d.incarnation = t.incarnation)`
  const who = `bulk ${id}`
  const rows = targets.map(({ model, ...target }) => ({
    ...target,
    lane: laneOf(target.incarnation),
    ...bodyOf(change, target.request, who, rules(model)),
  }))
  await tx`
    insert into commands (id, tenant, incarnation, device, name, input, requested_by, repeatable, retry_ms, max_attempts, expires_at)
    select request, ${tenant}, incarnation, device, name, input, ${`${by} (${who})`}, repeatable, retry, attempts, to_timestamp(expires / 1000)
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (request uuid, incarnation int, device text, name text, input text,
      repeatable boolean, retry int, attempts int, expires float8)
    where name is not null on conflict (id) do nothing`
  await tx`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select request, ${tenant}, incarnation, lane, kind, body
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (request uuid, incarnation int, lane smallint, kind text, body text)
    on conflict (id) do nothing`
}

function bodyOf(change: Change, id: string, by: string, rules: CommandRules | undefined) {
  if (change.wish)
    return { kind: 'wish', body: JSON.stringify({ patch: change.wish satisfies JsonObject, deadlineMs: change.deadlineMs, by }) }
  const { name, input } = change.command
  const { repeatable = false, retryMs = 10_000, attempts = 1, concurrency, onlyLast } = rules ?? {}
  const expiresAt = Date.now() + change.timeoutMs
  const request = { id, name, expiresAt, repeatable, by, ...(concurrency && { concurrency }), ...(onlyLast && { onlyLast }) }
  const row = { name, input: jsonOrNull(input), repeatable, retry: retryMs, attempts, expires: expiresAt }
  return { kind: 'command', body: JSON.stringify(request), ...row }
}

function jsonOrNull(value: Value | undefined): string | null {
  return value === undefined ? null : JSON.stringify(value)
}
