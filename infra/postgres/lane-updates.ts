/** What devices said of their updates, for a processor's tick (lane-store.ts, lane-commit.ts). All else in these rows is written elsewhere. */
import { UPDATE_STEPS } from '../../api/ingest/decoding/update-status.ts'
import type { TickChanges, UpdateNews, UpdateState } from '../../api/ingest/lane-store.ts'
import type { Sql, Transaction } from './connect.ts'

export async function updateStates(sql: Sql, ids: Array<{ incarnation: number; id: string }>): Promise<Map<string, UpdateState>> {
  const rows = await sql<Array<UpdateState & { incarnation: number; id: string }>>`
    select u.incarnation, u.id, u.status, u.code, u.ended_at is null as open, u.sent_at is not null as told from updates u
    join (select distinct incarnation, id from json_to_recordset(${JSON.stringify(ids)}::text::json) as asked (incarnation int, id uuid)) asked
      on u.id = asked.id and u.incarnation = asked.incarnation`
  return new Map(rows.map(({ incarnation, id, ...state }) => [`${incarnation} ${id}`, state]))
}

export function updateChanges(tx: Transaction, { updateNews, refusedRequests, removed }: TickChanges): Array<Promise<unknown>> {
  const statements: Array<Promise<unknown>> = []
  if (updateNews.length > 0) {
    const rows = updateNews.map((news) => ({ ...news, before: stepsBefore(news) }))
    // A status never goes back, whatever order words come in. What was said of one step is not true of the next one.
    statements.push(tx`
      update updates u set answered_at = coalesce(u.answered_at, to_timestamp(new.at / 1000.0)),
        status = case when u.status = any(new.before) then new.status else u.status end,
        status_at = case when u.status = any(new.before) then to_timestamp(new.at / 1000.0) else u.status_at end,
        progress = case when u.status = any(new.before) then new.progress when u.status = new.status then coalesce(new.progress, u.progress)
          else u.progress end
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (id uuid, status text, progress text, at float8, before text[])
      where u.id = new.id and u.ended_at is null and u.status <> 'soaking' and u.sent_at is not null`)
  }
  if (refusedRequests.length > 0) {
    // A request for an update has its id. What this version does not understand no twin will ever end.
    statements.push(tx`
      update updates set status = 'skipped', code = 'unknown-kind', message = null, job = null, link = null, status_at = now(), ended_at = now()
      where ended_at is null
        and id in (select r.id from twin_requests r
          join json_array_elements_text(${JSON.stringify(refusedRequests)}::text::json) as refused on r.id = refused::uuid
          where r.kind = 'update' and r.incarnation = updates.incarnation)`)
  }
  if (removed.length > 0) {
    statements.push(tx`
      update updates set status = 'cancelled', code = 'device-removed', message = null, job = null, link = null, status_at = now(),
        ended_at = now()
      where ended_at is null and incarnation in (select unnest(${`{${removed.join(',')}}`}::text::int[]))`)
  }
  return statements
}

function stepsBefore({ status }: UpdateNews): string[] {
  return status === null ? [] : ['scheduled', 'notified', ...UPDATE_STEPS.slice(0, UPDATE_STEPS.indexOf(status))]
}
