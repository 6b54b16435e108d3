/** What a rollout tells of itself: its row, and events of no device for webhooks and streams. Twice is once. */
import type { Rollout } from '../../activities/rollout-ports.ts'
import type { RolloutState } from '../../twin-models/core/rollout-types.ts'
import { summed } from '../../twin-models/core/rollout-waves.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import type { RolloutEvent } from '../../twin-models/webhook-events/rollout-events.ts'
import type { Transaction } from './connect.ts'
import { countsOf } from './rollout-counts.ts'

export async function tellStatus(tx: Transaction, rollout: Rollout, state: RolloutState, isEnd: boolean): Promise<void> {
  const { status, reason = null, wave, approvedBy = null, direction } = state
  const isBack = direction === 'back'
  const [before] = await tx<Array<{ status: string; isOver: boolean }>>`
    select status, ended_at is not null as "isOver" from rollouts where id = ${rollout.id}`
  await tx`
    update rollouts set status = ${status}, reason = ${reason}, wave = ${wave}, back = ${isBack}, approved_by = coalesce(${approvedBy}, approved_by),
      ended_at = case when ${isEnd} then coalesce(ended_at, now()) end
    where id = ${rollout.id}`
  if (status === 'halted' && before?.status !== 'halted')
    await tell(tx, rollout, 'rollout-halted', isBack, { reason: reason ?? '', wave: wave + 1 })
  if (isEnd && !before?.isOver) await tell(tx, rollout, 'rollout-ended', isBack, { status, ...(reason !== null && { reason }) })
}

export async function tell(
  tx: Transaction,
  rollout: Rollout,
  kind: RolloutEvent['kind'],
  isBack: boolean,
  more: JsonObject,
): Promise<void> {
  const { id, tenant, spec, by } = rollout
  const waves = (isBack ? spec.rollbackWaves : spec.waves).length
  const { total, healthy, failed, left } = summed((await countsOf(tx, rollout, isBack, waves)).waves)
  const devices = { total, healthy, failed, left }
  const event = { rollout: id, name: spec.name, firmware: spec.firmware, ...(isBack && { rollback: true }), devices, ...more }
  await tx`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select now(), ${tenant}, 0, '', ${kind}, (${JSON.stringify(event)}::text::jsonb || jsonb_build_object('at', floor(extract(epoch from now()) * 1000)))::text,
      ${JSON.stringify({ by: 'rollout', who: by })}`
}
