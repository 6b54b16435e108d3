/** How the devices of a bulk change fare that were asked already: by their decided documents, or by their commands. */
import type { BulkChange } from '../../activities/ports.ts'
import { withoutNulls } from '../../twin-models/core/merge-patch.ts'
import { leavesOf } from '../../twin-models/core/pointer.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import type { Transaction } from './connect.ts'

/**
 * A device has converged when each leaf of the wish has, and still stands as it was wished. It has failed when one has diverged, when the
 * twin refused the wish, or when somebody has wished something else since.
 */
export async function settleWishes(tx: Transaction, { id }: BulkChange, wish: JsonObject): Promise<void> {
  const wished = withoutNulls(wish)
  const pointers = `{${[...leavesOf(wished).keys()].map(quoted).join(',')}}`
  await tx`
    with judged as (
      select t.number, case
        when d.incarnation is null then 'device-removed'
        when r.answer::jsonb ? 'refused' then r.answer::jsonb ->> 'refused'
        when r.answered_at is null then null
        when l.diverged is not null then l.diverged
        when not (coalesce(d.decided -> 'desired' -> 'state', '{}') @> ${JSON.stringify(wished)}::text::jsonb) then 'other-writer'
        when l.converged = l.leaves then ''
      end as verdict
      from bulk_targets t
      left join twin_requests r on r.id = t.request
      left join devices d on d.incarnation = t.incarnation
      cross join lateral (
        select count(*) as leaves, count(*) filter (where leaf ->> 'status' = 'converged') as converged,
          min(coalesce(leaf ->> 'code', leaf ->> 'reason')) filter (where leaf ->> 'status' = 'diverged') as diverged
        from (select d.decided #> array['desired', 'metadata', pointer] as leaf from unnest(${pointers}::text::text[]) pointer) leaves
      ) l
      where t.bulk = ${id} and t.status = 'started'
    )
    update bulk_targets t set status = case when verdict = '' then 'succeeded' else 'failed' end, reason = nullif(verdict, ''), ended_at = now()
    from judged where t.bulk = ${id} and t.number = judged.number and verdict is not null`
}

export async function settleCommands(tx: Transaction, { id }: BulkChange): Promise<void> {
  await tx`
    update bulk_targets t set status = case when c.status = 'succeeded' then 'succeeded' else 'failed' end,
      reason = case when c.status <> 'succeeded' then coalesce(c.code, c.status) end, ended_at = now()
    from commands c where t.bulk = ${id} and t.status = 'started' and c.id = t.request and c.ended_at is not null`
}

/** An element of an array's text. */
function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}
