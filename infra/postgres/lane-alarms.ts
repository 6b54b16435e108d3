/**
 * Alarms of devices whose registration ended, as part of a tick's transaction (lane-commit.ts). Their twins decide nothing any more, so that they
 * are over is told here, under the last decision on them: who was told of one waits for it.
 */
import type { TickChanges } from '../../api/ingest/lane-store.ts'
import { epochMs } from './columns.ts'
import type { Transaction } from './connect.ts'

export function alarmChanges(tx: Transaction, { removed }: TickChanges): Array<Promise<unknown>> {
  if (removed.length === 0) return []
  return [
    tx`
      with cleared as (
        update alarms set status = 'cleared', cleared_at = date_trunc('milliseconds', now()), updated_at = date_trunc('milliseconds', now()),
          clear_reason = 'removed'
        where cleared_at is null and incarnation in (select unnest(${`{${removed.join(',')}}`}::text::int[]))
        returning *
      )
      insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
      select now(), tenant, incarnation, device, revision, 'alarm-cleared', json_build_object('at', ${tx.unsafe(epochMs('cleared_at'))}, 'n', n,
        'rule', rule, 'severity', severity, 'text', text, 'reason', clear_reason, 'values', "values"::json)::text, '{"by":"lane"}'
      from cleared order by incarnation, n`,
  ]
}
