/** What became of the devices of a rollout that were asked, and those that are not to be asked or to go on any more. */
import type { Rollout, RolloutLook } from '../../activities/rollout-ports.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { whoIs } from './rollout-start.ts'

/** In one transaction: what is more waits for the next. */
const CHUNK = 2_000
/** Before a device that was busy is asked again, doubling each time. */
const BUSY_MS = { first: 60_000, most: 3_600_000 }
const MOST_DOUBLINGS = 10

/**
 * A target ends with its update. One whose device was busy with another update waits again, under a new id, and so does one whose update was
 * stopped by a halt before its device was told; not when it was excluded meanwhile, or nobody of its direction is asked any more (`isOver`).
 */
export async function settle(tx: Transaction, { id }: Rollout, isBack: boolean, isOver: boolean): Promise<void> {
  await tx`
    with ended as (
      select number, status, code, ended_at, busy, (busy or stopped) and not ${isOver} as again
      from (
        select t.number, u.status, u.code, u.ended_at, u.status = 'skipped' and u.code = 'busy' and t.reason is distinct from 'excluded' as busy,
          t.reason is not distinct from 'halted' and u.status = 'cancelled' and u.code = 'cancelled' and u.told_at is null as stopped
        from rollout_targets t join updates u on u.id = t."update"
        where t.rollout = ${id} and t.back = ${isBack} and t.status = 'underway' and u.ended_at is not null limit ${CHUNK}) ends
    )
    update rollout_targets t set
      status = case when again then 'waiting' else ended.status end, reason = case when again and not ended.busy then 'halted'
        when t.reason = 'excluded' and ended.status = 'cancelled' then 'excluded' else ended.code end,
      "update" = case when again then gen_random_uuid() else t."update" end,
      not_before = case when again and ended.busy
        then now() + least(${BUSY_MS.first} * 2 ^ least(t.busy, ${MOST_DOUBLINGS}), ${BUSY_MS.most}) * interval '1 ms' end,
      busy = case when ended.busy then least(t.busy + 1, ${MOST_DOUBLINGS}) else t.busy end,
      started_at = case when again then null else t.started_at end, ended_at = case when again then null else ended.ended_at end
    from ended where t.rollout = ${id} and t.back = ${isBack} and t.number = ended.number`
}

/**
 * Asks the twins to cancel what is under way, while step `n` is not done. A device that installs or reboots cannot be called back: its update goes
 * on, so that it is known what it runs then.
 */
export async function cancelRunning(sql: Sql, rollout: Rollout, isBack: boolean, n: number): Promise<void> {
  await cancelThose(sql, rollout, isBack, n - 1, sql`u.status not in ('installing', 'rebooting')`)
}

/**
 * Of a halted one: what no device was told of yet (it waits for its window, its device, or its next attempt) is cancelled, while no step after `n`
 * is done. Each is asked once, so what goes wrong later, and would be tried again, is found by a later look.
 */
export async function stopUntold(sql: Sql, rollout: Rollout, isBack: boolean, n: number): Promise<void> {
  await cancelThose(
    sql,
    rollout,
    isBack,
    n,
    sql`t.reason is null and u.ended_at is null and u.told_at is null and u.status <> 'soaking'`,
    'halted',
  )
}

/**
 * While no step after `n` is done. Each is asked once, however often this is done. In the order of the index: each chunk begins where the one before
 * has ended. `reason`: noted with its target.
 */
async function cancelThose(
  sql: Sql,
  rollout: Rollout,
  isBack: boolean,
  n: number,
  which: ReturnType<Queries>,
  reason?: string,
): Promise<void> {
  const { id } = rollout
  const noted =
    reason === undefined
      ? sql``
      : sql`, noted as (
        update rollout_targets t set reason = ${reason} from chunk where t.rollout = ${id} and t.back = ${isBack} and t.number = chunk.number
      )`
  for (let [wave, number] = [-1, 0]; ; ) {
    const [last] = await sql<Array<{ wave: number; number: number }>>`
      with turn as materialized (select 1 from rollouts where id = ${id} and step <= ${n} for share), chunk as materialized (
        select t.wave, t.number, t.incarnation, t."update" from rollout_targets t join updates u on u.id = t."update"
        where t.rollout = ${id} and t.back = ${isBack} and t.status = 'underway' and (t.wave, t.number) > (${wave}, ${number})
          and ${which} and exists (select from turn)
        order by t.wave, t.number limit ${CHUNK}
      ), asked as (${cancels(sql, rollout, sql`chunk`)}) ${noted}
      select wave, number from chunk order by wave desc, number desc limit 1`
    if (!last) return
    ;[wave, number] = [last.wave, last.number]
  }
}

/** On the way back: who came with the new firmware only now does not soak with it, but goes back with those that join. */
export async function stopSoaking(sql: Sql, rollout: Rollout): Promise<void> {
  await cancels(
    sql,
    rollout,
    sql`(select t.incarnation, t."update" from rollout_targets t join updates u on u.id = t."update"
      where t.rollout = ${rollout.id} and not t.back and t.status = 'underway' and u.ended_at is null and u.status = 'soaking' limit ${CHUNK}) soaking`,
  )
}

/** Requests to cancel the updates of these targets. */
function cancels(sql: Queries, rollout: Rollout, targets: ReturnType<Queries>) {
  return sql`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select md5('cancel ' || "update")::uuid, ${rollout.tenant}, incarnation, incarnation % 16, 'cancel-update',
      json_build_object('id', "update", 'by', ${whoIs(rollout)}::text)::text
    from ${targets} on conflict (id) do nothing`
}

/** Nobody who waits is asked any more. While step `n` is not done. */
export async function dropWaiting(sql: Sql, { id }: Rollout, isBack: boolean, reason: string, n: number): Promise<void> {
  for (let count = CHUNK; count === CHUNK; ) {
    const dropped = await sql`
      with turn as materialized (select 1 from rollouts where id = ${id} and step < ${n} for share)
      update rollout_targets set status = 'skipped', reason = ${reason}, not_before = null, ended_at = now()
      where rollout = ${id} and back = ${isBack} and number in (
        select number from rollout_targets
        where rollout = ${id} and back = ${isBack} and status = 'waiting' and exists (select from turn) limit ${CHUNK})`
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
      insert into rollout_targets (rollout, back, number, wave, incarnation, device, from_version, status, reason, ended_at)
      select ${id}, ${isBack}, coalesce((select max(number) from rollout_targets where rollout = ${id} and back = ${isBack}), 0) + 1, -1,
        incarnation, device, decided #>> '{firmware,version}', 'skipped', 'excluded', now()
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
  await cancels(tx, rollout, tx`rollout_targets where rollout = ${id} and back = ${isBack} and number = ${target.number}`)
  // Its twin may say that it is busy, before it is told to cancel.
  await tx`update rollout_targets set reason = 'excluded' where rollout = ${id} and back = ${isBack} and number = ${target.number}`
  return 'cancelled'
}
