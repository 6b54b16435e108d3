/** Notices as REST shows them, and sends them again. */
import type { NoticeQuery, NoticeRow, Notices } from '../../api/notify-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

export function createNotices(sql: Sql): Notices {
  return {
    list: (tenant, query) => listNotices(sql, tenant, query),
    find: (tenant, id) => findNotice(sql, tenant, id),
    retry: (tenant, id) => retryNotice(sql, tenant, id),
  }
}

const COLUMNS = `n.id, n.target, n.kind, n.key, case when n.incarnation is not null then n.incarnation || '-' || n.n end as alarm, n.device, n.rule,
  n.status, n.state, n.reason, n.severity, n.subject, n.words as text, ${epochMs('n.created_at')} as "createdAt", ${epochMs('n.due_at')} as "dueAt",
  case when n.reason = 'quiet' then ${epochMs('n.ready_at')} end as "heldUntil", ${epochMs('n.ended_at')} as "endedAt", n.bundle, n.shown,
  coalesce(b.log, '[]') as attempts,
  case when n.state = 'waiting' and b.claimed_at is null then ${epochMs('b.next_at')} end as "nextAttemptAt"`

async function listNotices(sql: Queries, tenant: string, { target, state, alarm, key, page }: NoticeQuery): Promise<NoticeRow[]> {
  const rows = await sql<StoredNotice[]>`
    select ${sql.unsafe(COLUMNS)} from notices n left join notice_bundles b on b.id = n.bundle
    where n.tenant = ${tenant} and n.id < ${page.after ?? Number.MAX_SAFE_INTEGER}
      ${target === undefined ? sql`` : sql`and n.target = ${target}`}
      ${state === undefined ? sql`` : sql`and n.state = ${state} ${['waiting', 'held'].includes(state) ? sql`and n.ended_at is null` : sql``}`}
      ${alarm === undefined ? sql`` : sql`and n.incarnation = ${alarm.incarnation} and n.n = ${alarm.n}`}
      ${key === undefined ? sql`` : sql`and n.key = ${key}`}
    order by n.id desc limit ${page.limit}`
  return rows.map(parsedNotice)
}

async function findNotice(sql: Queries, tenant: string, id: number): Promise<NoticeRow | undefined> {
  const [row] = await sql<StoredNotice[]>`
    select ${sql.unsafe(COLUMNS)} from notices n left join notice_bundles b on b.id = n.bundle where n.tenant = ${tenant} and n.id = ${id}`
  return row && parsedNotice(row)
}

/** The target is locked before its notices, as everywhere. One whose target was removed, or was never there, goes to who has its name now. */
async function retryNotice(sql: Sql, tenant: string, id: number): Promise<boolean> {
  return sql.begin(async (tx) => {
    const [target] = await tx<Array<{ number: number }>>`
      select number from targets where tenant = ${tenant} and name = (select target from notices where tenant = ${tenant} and id = ${id})
      for no key update`
    if (!target) return false
    const [waiting] = await tx`
      update notice_bundles b set next_at = now() from notices n
      where n.id = ${id} and n.state = 'waiting' and b.id = n.bundle and b.state = 'open' and b.claimed_at is null returning b.id`
    if (waiting) return true
    const { count } = await tx`
      update notices set state = 'waiting', reason = null, endpoint = ${target.number}, bundle = null, shown = false, ready_at = now(), ended_at = null
      where id = ${id} and state = 'failed' and (status = 'resolved' or not exists (
        select from told_alarms a where a.incarnation = notices.incarnation and a.n = notices.n and a.ended_at is not null))`
    return count > 0
  })
}

type StoredNotice = Omit<NoticeRow, 'attempts'> & { attempts: string }

function parsedNotice(row: StoredNotice): NoticeRow {
  return { ...row, attempts: JSON.parse(row.attempts) }
}
