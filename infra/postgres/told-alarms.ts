/** Alarms that somebody is told of, with their notices, as rows: read under their locks, and written where they changed. */
import { groupKeyOf } from '../../twin-models/core/bundles.ts'
import type { AlarmNotices, Notice, ToldAlarm } from '../../twin-models/core/notices.ts'
import { epochMs } from './columns.ts'
import type { Transaction } from './connect.ts'
import { insertNoticeRows, type NoticeRow } from './notice-insert.ts'

export interface NewAlarm extends AlarmNotices {
  incarnation: number
  n: number
  tenant: string
  device: string
  rule: string
  site?: string
  /** Of the first of its notices: the others have no row yet. */
  ids: number[]
}

/** As it was read, beside what it is now. */
export interface KnownAlarm extends NewAlarm {
  before?: AlarmNotices
}

export function alarmKey(incarnation: number, n: number): string {
  return `${incarnation}-${n}`
}

/** What notices of the alarm have in common, from the first to the last. */
function noticeKey({ incarnation, n }: Pick<NewAlarm, 'incarnation' | 'n'>): string {
  return `alarm:${alarmKey(incarnation, n)}`
}

/** By `alarmKey`: these, and those of these devices that are not over. */
export async function lockAlarms(
  tx: Transaction,
  alarms: Array<{ incarnation: number; n: number }>,
  devices: number[],
): Promise<Map<string, KnownAlarm>> {
  const rows = await tx<Array<{ incarnation: number; n: number; alarm: string }>>`
    select incarnation, n, alarm from told_alarms
    where (incarnation, n) in (select incarnation, n from json_to_recordset(${JSON.stringify(alarms)}::text::json) as a (incarnation int, n int))
      or (ended_at is null and incarnation in (select unnest(${`{${devices.join(',')}}`}::text::int[])))
    order by incarnation, n for update`
  const known = new Map<string, KnownAlarm>()
  for (const { incarnation, n, alarm } of rows) {
    const { tenant, device, rule, site, ...told } = JSON.parse(alarm) as StoredAlarm
    const of = { incarnation, n, tenant, device, rule, ...(site !== undefined && { site }) }
    known.set(alarmKey(incarnation, n), { ...of, ids: [], alarm: told, notices: [] })
  }
  for (const { id, incarnation, n, ...row } of await lockNotices(tx, [...known.values()])) {
    const alarm = known.get(alarmKey(incarnation, n))!
    alarm.ids.push(id)
    alarm.notices.push(noticeOf(row))
  }
  for (const alarm of known.values()) alarm.before = { alarm: alarm.alarm, notices: alarm.notices }
  return known
}

type StoredAlarm = ToldAlarm & Pick<NewAlarm, 'tenant' | 'device' | 'rule' | 'site'>

interface LockedNotice extends Omit<Notice, 'facts' | 'reason' | 'readyAt' | 'heldAt' | 'endedAt' | 'bundle' | 'group'> {
  /** JSON. */
  facts: string
  reason: string | null
  readyAt: number | null
  heldAt: number | null
  endedAt: number | null
  bundle: string | null
  group: string
}

async function lockNotices(
  tx: Transaction,
  alarms: KnownAlarm[],
): Promise<Array<LockedNotice & { id: number; incarnation: number; n: number }>> {
  if (alarms.length === 0) return []
  const wanted = JSON.stringify(alarms.map(({ incarnation, n }) => ({ incarnation, n })))
  return tx`
    select id, incarnation, n, target, status, state, severity, words as text, facts, reason, group_key as "group", owed, bundle, shown,
      ${tx.unsafe(epochMs('due_at'))} as "dueAt", ${tx.unsafe(epochMs('ready_at'))} as "readyAt",
      ${tx.unsafe(epochMs('held_at'))} as "heldAt", ${tx.unsafe(epochMs('ended_at'))} as "endedAt"
    from notices where (incarnation, n) in (select incarnation, n from json_to_recordset(${wanted}::text::json) as a (incarnation int, n int))
    order by id for update`
}

function noticeOf({ facts, reason, readyAt, heldAt, endedAt, bundle, group, ...row }: LockedNotice): Notice {
  return {
    ...row,
    facts: JSON.parse(facts),
    ...(reason !== null && { reason }),
    ...(readyAt !== null && { readyAt }),
    ...(heldAt !== null && { heldAt }),
    ...(endedAt !== null && { endedAt }),
    // Only what was bundled is bound to a group.
    ...(bundle !== null && { bundle, group }),
  }
}

/** `made`: those that have no row yet. */
export async function writeAlarms(tx: Transaction, alarms: KnownAlarm[], made: ReadonlySet<KnownAlarm>): Promise<void> {
  const changed = alarms.filter(
    (known) => made.has(known) || known.alarm !== known.before?.alarm || known.notices !== known.before?.notices,
  )
  if (changed.length === 0) return
  const rows = changed.map(({ incarnation, n, tenant, device, rule, site, alarm }) => {
    const stored: StoredAlarm = { tenant, device, rule, ...(site !== undefined && { site }), ...alarm }
    return { incarnation, n, alarm: JSON.stringify(stored), ended: alarm.endedAt ?? null }
  })
  await tx`
    insert into told_alarms (incarnation, n, alarm, ended_at)
    select incarnation, n, alarm, to_timestamp(ended / 1000)
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as r (incarnation int, n int, alarm text, ended float8)
    on conflict (incarnation, n) do update set alarm = excluded.alarm, ended_at = excluded.ended_at`
  await updateNotices(tx, changed)
  await insertNoticeRows(
    tx,
    changed.flatMap((known) => known.notices.slice(known.ids.length).map((notice, i) => rowOf(known, notice, known.ids.length + i))),
  )
}

async function updateNotices(tx: Transaction, alarms: KnownAlarm[]): Promise<void> {
  const changes = alarms.flatMap(({ ids, notices, before }) =>
    ids.flatMap((id, i) => {
      const { state, reason, severity, text, facts, dueAt, readyAt, heldAt, endedAt } = notices[i]!
      if (notices[i] === before!.notices[i]) return []
      return [{ id, state, reason, severity, text, facts: JSON.stringify(facts), dueAt, readyAt, heldAt, endedAt }]
    }),
  )
  if (changes.length === 0) return
  await tx`
    update notices c set state = r.state, reason = r.reason, severity = r.severity, words = r.text, facts = r.facts,
      due_at = to_timestamp(r."dueAt" / 1000), ready_at = to_timestamp(r."readyAt" / 1000), held_at = to_timestamp(r."heldAt" / 1000),
      ended_at = to_timestamp(r."endedAt" / 1000)
    from json_to_recordset(${JSON.stringify(changes)}::text::json) as r (id bigint, state text, reason text, severity text, text text, facts text,
      "dueAt" float8, "readyAt" float8, "heldAt" float8, "endedAt" float8)
    where c.id = r.id`
}

function rowOf(known: NewAlarm, notice: Notice, step: number): NoticeRow {
  const { incarnation, n, tenant, device, rule, site, alarm } = known
  const { target, status, state, reason, severity, text, facts, dueAt, readyAt, heldAt, endedAt, group, owed = false } = notice
  return {
    ...{ tenant, target, kind: 'alarm', key: noticeKey(known), step: String(step), incarnation, n, device, rule, site: site ?? null },
    ...{ status, state, reason: reason ?? null, severity, subject: `${rule} on ${device}`, text, facts, links: [], owed },
    ...{ since: alarm.raisedAt, overAt: status === 'resolved' ? (alarm.endedAt ?? null) : null },
    ...{ group: group ?? groupKeyOf({ rule, site }), dueAt, readyAt: readyAt ?? null, heldAt: heldAt ?? null, endedAt: endedAt ?? null },
  }
}
