/** What became of the devices of a rollout that were asked, and those that are not to be asked or to go on any more. */
import type { Rollout, RolloutLook } from '../../activities/rollout-ports.ts'
import type { Sql, Transaction } from './connect.ts'
import { whoIs } from './rollout-start.ts'

/** In one transaction: what is more waits for the next. */
const CHUNK = 2_000
const BUSY_MS = 60_000

/**
 * A target ends with its update. One whose device was busy with another update waits again, under a new id; not when it was excluded meanwhile,
 * or nobody of its direction is asked any more (`isOver`).
 */
export async function settle(tx: Transaction, { id }: Rollout, isBack: boolean, isOver: boolean): Promise<void> {
  await tx`
    with ended as (
      select t.number, u.status, u.code, u.ended_at,
        u.status = 'skipped' and u.code = 'busy' and t.reason is distinct from 'excluded' and not ${isOver} as again
      from rollout_targets t join updates u on u.id = t."update"
      where t.rollout = ${id} and t.back = ${isBack} and t.status = 'underway' and u.ended_at is not null limit ${CHUNK}
    )
    update rollout_targets t set
      status = case when again then 'waiting' else ended.status end, reason = ended.code,
      "update" = case when again then gen_random_uuid() else t."update" end,
      not_before = case when again then now() + ${BUSY_MS} * interval '1 ms' end,
      started_at = case when again then null else t.started_at end, ended_at = case when again then null else ended.ended_at end
    from ended where t.rollout = ${id} and t.back = ${isBack} and t.number = ended.number`
}

/** Asks the twins to cancel what is under way. Each is asked once, however often this is done. */
export async function cancelRunning(sql: Sql, rollout: Rollout, isBack: boolean): Promise<void> {
  const { id, tenant } = rollout
  for (let [wave, number] = [-1, 0]; ; ) {
    const [last] = await sql<Array<{ wave: number; number: number }>>`
      with chunk as (
        select wave, number, incarnation, "update" from rollout_targets
        where rollout = ${id} and back = ${isBack} and status = 'underway' and (wave, number) > (${wave}, ${number})
        order by wave, number limit ${CHUNK}
      ), asked as (
        insert into twin_requests (id, tenant, incarnation, lane, kind, body)
        select md5('cancel ' || "update")::uuid, ${tenant}, incarnation, incarnation % 16, 'cancel-update',
          json_build_object('id', "update", 'by', ${whoIs(rollout)}::text)::text
        from chunk on conflict (id) do nothing
      )
      select wave, number from chunk order by wave desc, number desc limit 1`
    if (!last) return
    ;[wave, number] = [last.wave, last.number]
  }
}

/** Nobody who waits is asked any more. */
export async function dropWaiting(sql: Sql, { id }: Rollout, isBack: boolean, reason: string): Promise<void> {
  for (let count = CHUNK; count === CHUNK; ) {
    const dropped = await sql`
      update rollout_targets set status = 'skipped', reason = ${reason}, not_before = null, ended_at = now()
      where rollout = ${id} and back = ${isBack} and number in (
        select number from rollout_targets where rollout = ${id} and back = ${isBack} and status = 'waiting' limit ${CHUNK})`
    count = dropped.count
  }
}

/** Leaves a device out, also one that would come later. */
export async function exclude(tx: Transaction, rollout: Rollout, isBack: boolean, device: string): Promise<RolloutLook['excluded']> {
  const { id, tenant } = rollout
  const [target] = await tx<Array<{ number: number; status: string; reason: string | null }>>`
    select t.number, t.status, t.reason from rollout_targets t join devices d using (incarnation)
    where t.rollout = ${id} and t.back = ${isBack} and d.tenant = ${tenant} and d.device = ${device}`
  if (!target) {
    const made = await tx`
      insert into rollout_targets (rollout, back, number, wave, incarnation, device, status, reason, ended_at)
      select ${id}, ${isBack}, coalesce((select max(number) from rollout_targets where rollout = ${id} and back = ${isBack}), 0) + 1, -1,
        incarnation, device, 'skipped', 'excluded', now()
      from devices where tenant = ${tenant} and device = ${device}`
    return made.count > 0 ? 'excluded' : 'unknown'
  }
  if (target.status === 'waiting') {
    await tx`
      update rollout_targets set status = 'skipped', reason = 'excluded', not_before = null, ended_at = now()
      where rollout = ${id} and back = ${isBack} and number = ${target.number}`
    return 'excluded'
  }
  if (target.status !== 'underway') return target.reason === 'excluded' ? 'excluded' : 'ended'
  await tx`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select md5('cancel ' || "update")::uuid, ${tenant}, incarnation, incarnation % 16, 'cancel-update',
      json_build_object('id', "update", 'by', ${whoIs(rollout)}::text)::text
    from rollout_targets where rollout = ${id} and back = ${isBack} and number = ${target.number} on conflict (id) do nothing`
  // Its twin may say that it is busy, before it is told to cancel.
  await tx`update rollout_targets set reason = 'excluded' where rollout = ${id} and back = ${isBack} and number = ${target.number}`
  return 'cancelled'
}
