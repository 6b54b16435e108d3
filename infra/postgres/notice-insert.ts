/** New notices as rows: of alarms, and of whoever tells a target something by itself (`insertNotices`). */
import { storable } from '../../api/notify/alarm-events.ts'
import type { NoticeKind, NoticeLink } from '../../api/notify/ports.ts'
import type { NoticeStatus } from '../../twin-models/core/notices.ts'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import type { Queries } from './connect.ts'

/** One message to a target. Texts are cut at their limits. */
export interface NewNotice {
  tenant: string
  /** Its name. Where there is none, the notice has failed and says so. */
  target: string
  /** Of what it is about: all messages of one key belong together (fingerprint, thread of e-mails). */
  key: string
  /** Which of those with this key and target: inserted again, it changes nothing. Absent: the status. */
  step?: string
  kind: NoticeKind
  status: NoticeStatus
  /** Epoch ms. */
  dueAt: number
  severity: Severity
  /** Empty: of none. */
  device: string
  subject: string
  text: string
  facts?: { [name: string]: string }
  links?: NoticeLink[]
  /** Epoch ms: since when there is what it is about. Absent: `dueAt`. */
  since?: number
}

const LIMITS = { key: 200, step: 100, subject: 200, text: 4_000, facts: 50, name: 100, fact: 500, links: 10 } as const

/**
 * Each goes to its target in a message of its own, by the target’s quiet hours and pace. `sql` may be a transaction: what is written in it is told
 * when it is committed, at least once. Gives how many are new.
 */
export async function insertNotices(sql: Queries, notices: readonly NewNotice[]): Promise<number> {
  return insertNoticeRows(sql, notices.map(rowOf))
}

/** As it is stored. */
export interface NoticeRow extends Required<Omit<NewNotice, 'since'>> {
  incarnation: number | null
  n: number | null
  rule: string | null
  site: string | null
  state: string
  reason: string | null
  since: number
  overAt: number | null
  group: string
  owed: boolean
  readyAt: number | null
  heldAt: number | null
  /** Set of what is over before it is written. */
  endedAt: number | null
}

/** Of one target. With as many that have not ended, further ones fail. */
export const MOST_OPEN_NOTICES = 100_000

export async function insertNoticeRows(sql: Queries, rows: readonly NoticeRow[]): Promise<number> {
  if (rows.length === 0) return 0
  const stored = rows.map(({ facts, links, ...row }) => ({ ...row, facts: JSON.stringify(facts), links: JSON.stringify(links) }))
  const { count } = await sql`
    with wanted as materialized (
      select *, row_number() over () as place from json_to_recordset(${JSON.stringify(stored)}::text::json) as r (
        tenant text, target text, kind text, key text, step text, incarnation int, n int, device text, rule text, site text, status text, state text,
        reason text, severity text, subject text, text text, facts text, links text, since float8, "overAt" float8, "group" text, owed boolean,
        "dueAt" float8, "readyAt" float8, "heldAt" float8, "endedAt" float8)
    ), known as materialized (
      select tenant, name, number, (
        select count(*) >= ${MOST_OPEN_NOTICES} from (
          select from notices n where n.tenant = t.tenant and n.endpoint = t.number and n.ended_at is null limit ${MOST_OPEN_NOTICES}) as open
      ) as full from targets t where (tenant, name) in (select tenant, target from wanted) order by number for key share
    ), judged as (
      select w.*, k.number, case when k.number is null then 'There is no target of this name'
        when k.full then ${`More than ${MOST_OPEN_NOTICES} wait for this target`} end as refused
      from wanted w left join known k on k.tenant = w.tenant and k.name = w.target
    )
    insert into notices (tenant, target, endpoint, kind, key, step, incarnation, n, device, rule, site, status, state, reason, severity, subject, words,
      facts, links, since, over_at, group_key, owed, due_at, ready_at, held_at, ended_at)
    select tenant, target, number, kind, key, step, incarnation, n, device, rule, site, status, case when refused is null then state else 'failed' end,
      coalesce(refused, reason), severity, subject, text, facts, links, to_timestamp(since / 1000), to_timestamp("overAt" / 1000), "group", owed,
      to_timestamp("dueAt" / 1000), case when refused is null then to_timestamp("readyAt" / 1000) end,
      case when refused is null then to_timestamp("heldAt" / 1000) end, case when refused is null then to_timestamp("endedAt" / 1000) else now() end
    from judged order by place
    on conflict (tenant, key, target, step) do nothing`
  return count
}

function rowOf(notice: NewNotice): NoticeRow {
  const { key, status, dueAt, subject, text, facts = {}, links = [], step = status, since = dueAt, ...same } = notice
  const kept = Object.entries(facts).slice(0, LIMITS.facts)
  return {
    ...{ ...same, key: cut(key, LIMITS.key), step: cut(step, LIMITS.step), status, dueAt, since },
    ...{ subject: cut(subject.replaceAll(/\p{Cc}+/gu, ' '), LIMITS.subject), text: cut(text, LIMITS.text) },
    facts: Object.fromEntries(kept.map(([name, fact]) => [cut(name, LIMITS.name), cut(fact, LIMITS.fact)])),
    links: links.slice(0, LIMITS.links).map(({ title, url }) => ({ title: cut(title, LIMITS.name), url })),
    ...{ incarnation: null, n: null, rule: null, site: null, state: 'waiting', reason: null, owed: false, heldAt: null, endedAt: null },
    ...{
      overAt: status === 'resolved' ? dueAt : null,
      group: `{}:{key=${JSON.stringify(cut(key, LIMITS.key))}, step=${JSON.stringify(cut(step, LIMITS.step))}}`,
    },
    readyAt: dueAt,
  }
}

function cut(text: string, most: number): string {
  return storable(text.length > most ? `${text.slice(0, most - 1)}…` : text)
}
