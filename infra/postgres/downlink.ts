/**
 * What is pending of devices (tables wishes, commands, updates, device_errors): the bridge's queries. All times are those of Postgres, so that
 * several bridges agree.
 *
 * Each takes many devices at once. Rows that somebody else is writing are left to him: a claim waits for nobody, and two bridges that
 * claim the same get it once.
 */
import { type Ask, COMMANDS_AT_ONCE, type DownlinkStore, ERRORS_AT_ONCE, type Pending, type PendingCommand } from '../../api/downlink.ts'
import { NO_STREAM } from '../../api/ingest/log.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'
import { dueAt, isDue } from './downlink-retry.ts'
import { CLAIM_UPDATES, LIST_UPDATES, UPDATES_WHEN_DUE } from './downlink-updates.ts'

const CANCELS_AT_ONCE = 20
/** So long a device without a connection can find what was wrong with a message. */
export const ERRORS_MINUTES = 10

/** `devicePublicUrl`: where devices download from. */
export function createDownlinkStore(sql: Queries, devicePublicUrl: string): DownlinkStore {
  return {
    claim: (asks) => claimPending(sql, asks, devicePublicUrl),
    list: (incarnations) => listPending(sql, incarnations, devicePublicUrl),
    whenDue: (asks) => whenDue(sql, asks),
    cancelsTold: (ids) => cancelsTold(sql, ids),
  }
}

/** Of wishes and commands. */
const sent = (row: string) => ({ row, firstSeconds: `${row}.retry_ms / 1000.0`, times: `${row}.attempts` })

/** Of a command that the device may be given: it will not have expired on the way. */
const OPEN = `c.ended_at is null and c.released_at is not null and c.expires_at > now() + interval '1 second'`
const SENDABLE = `${OPEN} and (c.attempts = 0 or c.repeatable) and c.attempts < c.max_attempts`
/** One that the device works on is repeated only when it comes back. */
const RETRIED = `${SENDABLE} and c.acknowledged_at is null`

const ASKED = `json_to_recordset($1::text::json) as asked (incarnation integer, desired text, commands text, after bigint, cancels boolean,
  updates text, "updateCancels" boolean)`

const CLAIM = `
  with asked as materialized (select * from ${ASKED}),
  wishes_due as materialized (
    select w.incarnation from asked join wishes w using (incarnation)
    where asked.desired <> 'none' and w.body is not null and (asked.desired = 'all' or (not w.answered and ${isDue(sent('w'))}))
    order by w.incarnation for update of w skip locked
  ),
  commands_due as materialized (
    select mine.id from asked cross join lateral (
      select c.id from commands c
      where c.incarnation = asked.incarnation and asked.commands <> 'none' and ${SENDABLE}
        and ((asked.commands = 'all' and c.number > asked.after) or (${RETRIED} and ${isDue(sent('c'))}))
      order by c.number limit ${COMMANDS_AT_ONCE} for update skip locked
    ) mine
  ),
  wished as (
    update wishes w set sent_version = w.version, sent_at = now(), attempts = w.attempts + 1
    from wishes_due due where w.incarnation = due.incarnation and w.body is not null
    returning w.incarnation, w.body, w.attempts
  ),
  commanded as (
    update commands c set sent_at = now(), attempts = c.attempts + 1, status = case when c.status = 'queued' then 'sent' else c.status end
    from commands_due due where c.id = due.id and c.ended_at is null
    returning c.incarnation, c.id, c.number, c.name, c.input, c.expires_at, c.attempts, c.repeatable
  ),
  ${CLAIM_UPDATES}
  select incarnation, 'desired' as kind, null::uuid as id, null::bigint as number, null as name, body, null::float8 as "expiresAt", attempts as attempt, true as repeatable
    from wished
  union all
  select incarnation, 'command', id, number, name, input, ${epochMs('expires_at')}, attempts, repeatable from commanded
  union all
  select asked.incarnation, 'cancel', told.id, told.number, null, null, null, null, true from asked cross join lateral (
    select c.id, c.number from commands c
    where asked.cancels and c.incarnation = asked.incarnation and c.cancel_at is not null and c.cancel_sent_at is null
    order by c.number limit ${CANCELS_AT_ONCE}
  ) told
  union all
  select incarnation, 'update', id, null, null, body, null, sends, true from updated
  union all
  select incarnation, 'update-cancel', id, null, null, null, null, null, true from update_cancels
  order by number`

async function claimPending(sql: Queries, asks: Ask[], devicePublicUrl: string): Promise<Map<number, Pending>> {
  return pendingOf(await sql.unsafe<PendingRow[]>(CLAIM, [JSON.stringify(asks), devicePublicUrl], { prepare: true }))
}

const LIST = `
  with asked as materialized (select json_array_elements_text($1::text::json)::integer as incarnation),
  ${LIST_UPDATES}
  select w.incarnation, 'desired' as kind, null::uuid as id, null::bigint as number, null as name, w.body, null::float8 as "expiresAt", w.attempts as attempt, true as repeatable
    from asked join wishes w using (incarnation) where w.body is not null
  union all
  select asked.incarnation, 'command', open.* from asked cross join lateral (
    select c.id, c.number, c.name, c.input, ${epochMs('c.expires_at')}, c.attempts, c.repeatable from commands c
    where c.incarnation = asked.incarnation and ${OPEN} and (c.attempts = 0 or c.repeatable)
    order by c.number limit ${COMMANDS_AT_ONCE}
  ) open
  union all
  select asked.incarnation, 'cancel', told.id, told.number, null, null, null, null, true from asked cross join lateral (
    select c.id, c.number from commands c
    where c.incarnation = asked.incarnation and c.cancel_at is not null and c.cancel_sent_at is null
    order by c.number limit ${CANCELS_AT_ONCE}
  ) told
  union all
  select incarnation, 'update', id, null, null, body, null, sends, true from updated
  union all
  select incarnation, 'update-cancel', id, null, null, null, null, null, true from update_cancels
  union all
  select asked.incarnation, 'error', null, said.id, null, said.body, null, null, true from asked cross join lateral (
    select e.id, e.body from device_errors e
    where e.stream = ${NO_STREAM} and e.incarnation = asked.incarnation and e.at > now() - interval '${ERRORS_MINUTES} minutes'
    order by e.id desc limit ${ERRORS_AT_ONCE}
  ) said
  order by number`

async function listPending(sql: Queries, incarnations: number[], devicePublicUrl: string): Promise<Map<number, Pending>> {
  return pendingOf(await sql.unsafe<PendingRow[]>(LIST, [JSON.stringify(incarnations), devicePublicUrl], { prepare: true }))
}

const WHEN_DUE = `
  with asked as materialized (select * from ${ASKED}),
  due as (
    select w.incarnation, ${dueAt(sent('w'))} as at from asked join wishes w using (incarnation)
    where asked.desired <> 'none' and w.body is not null and not w.answered
    union all
    select c.incarnation, ${dueAt(sent('c'))} from asked join commands c using (incarnation)
    where asked.commands <> 'none' and ${RETRIED}
    union all
    select c.incarnation, null from asked join commands c using (incarnation)
    where asked.cancels and c.cancel_at is not null and c.cancel_sent_at is null
    union all
    ${UPDATES_WHEN_DUE}
  )
  select incarnation, ceil(greatest(extract(epoch from min(coalesce(at, now())) - now()) * 1000, 0))::bigint as ms
  from due group by incarnation`

async function whenDue(sql: Queries, asks: Ask[]): Promise<Map<number, number>> {
  const rows = await sql.unsafe<Array<{ incarnation: number; ms: number }>>(WHEN_DUE, [JSON.stringify(asks)], { prepare: true })
  return new Map(rows.map(({ incarnation, ms }) => [incarnation, ms]))
}

/** Ids of commands and of updates are UUIDs: none is both. */
async function cancelsTold(sql: Queries, ids: string[]): Promise<void> {
  await sql`
    with told as (select json_array_elements_text(${JSON.stringify(ids)}::text::json)::uuid as id),
    updated as (update updates set cancel_sent_at = now() where id in (select id from told) and cancel_sent_at is null)
    update commands set cancel_sent_at = now() where id in (select id from told) and cancel_sent_at is null`
}

interface PendingRow extends PendingCommand {
  incarnation: number
  kind: 'desired' | 'command' | 'cancel' | 'update' | 'update-cancel' | 'error'
  body: string | null
}

function pendingOf(rows: PendingRow[]): Map<number, Pending> {
  const found = new Map<number, Pending>()
  for (const { incarnation, kind, body, ...row } of rows) {
    const pending = found.get(incarnation) ?? { desired: null, commands: [], cancels: [], update: null, updateCancels: [], errors: [] }
    found.set(incarnation, pending)
    if (kind === 'desired') pending.desired = { body: body!, attempt: row.attempt }
    else if (kind === 'cancel') pending.cancels.push(row.id)
    else if (kind === 'update') pending.update = { id: row.id, body: body!, sends: row.attempt }
    else if (kind === 'update-cancel') pending.updateCancels.push(row.id)
    else if (kind === 'error') pending.errors.push({ number: row.number, body: body! })
    else pending.commands.push({ ...row, input: body })
  }
  return found
}
