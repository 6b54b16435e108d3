/** Telling people, in Postgres (api/notify/ports.ts). */
import type { NoticeStore, ReadyTarget } from '../../api/notify/ports.ts'
import type { Sql } from './connect.ts'
import { claimBundle } from './notice-claim.ts'
import { takeAlarmEvents } from './notice-intake.ts'
import { settleBundle } from './notice-settle.ts'

export function createNoticeStore(sql: Sql): NoticeStore {
  return {
    take: () => takeAlarmEvents(sql),
    ready: (now) => readyTargets(sql, now),
    claim: (target, now) => claimBundle(sql, target, now),
    settle: (target, bundle, tried, now) => settleBundle(sql, target, bundle, tried, now),
  }
}

/** Bundles of a target that fails are probes too, whatever their time. */
async function readyTargets(sql: Sql, now: number): Promise<ReadyTarget[]> {
  return sql<ReadyTarget[]>`
    select number, tenant, kind from targets t
    where exists (select from notices n where n.endpoint = t.number and n.ready_at <= to_timestamp(${now}::float8 / 1000))
      or exists (select from notice_bundles b where b.target = t.number and b.state = 'open')`
}
