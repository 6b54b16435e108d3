/**
 * Which devices a rollout is for, and in which wave each is: numbered by wave and salted hash, so that sites and batches lie spread. Up to a
 * million, and none of them is loaded: what is found stands in a temporary table until it is counted and kept.
 */
import type { Rollout } from '../../activities/rollout-ports.ts'
import { ROLLOUT_LIMITS, type RolloutDirection, type RolloutReturn, type WaveRule } from '../../twin-models/core/rollout-types.ts'
import { waveSizes } from '../../twin-models/core/rollout-waves.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { FILTERED } from './bulk-changes.ts'
import type { Transaction } from './connect.ts'
import { findGroup, pinsOf } from './groups.ts'
import { tell } from './rollout-events.ts'
import { leftOut, leftOutBack, RUNS, sameFirmware } from './rollout-left-out.ts'

export type Described = Pick<Rollout, 'id' | 'tenant' | 'spec' | 'firmware'>

/** Of those that were found; $1 is the rollout's id. Members of groups first; each rollout has another order. */
export const ORDER = 'place nulls last, md5(device || $1::text)'

/** Once: nothing when they are chosen. */
export async function choose(tx: Transaction, rollout: Rollout, direction: RolloutDirection, which: RolloutReturn): Promise<void> {
  const { id, spec } = rollout
  await patiently(tx)
  const isBack = direction === 'back'
  const [row] = await tx<Array<{ isChosen: boolean }>>`
    select case when ${isBack} then exists (select from rollout_targets where rollout = ${id} and back and wave >= 0)
      else started_at is not null end as "isChosen" from rollouts where id = ${id} for update`
  if (!row || row.isChosen) return
  await (isBack ? findForBack(tx, rollout, which) : find(tx, rollout))
  await dropKnown(tx, rollout, isBack)
  const sizes = await sizesOf(tx, isBack ? spec.rollbackWaves : spec.waves)
  await keep(tx, rollout, isBack, sizes)
  if (isBack) return
  await tx`update rollouts set started_at = now() where id = ${id}`
  await tell(tx, rollout, 'rollout-started', false, {})
}

/** Devices that have come since go into the last wave: that the filter finds now, or that run what the rollout brought only now. */
export async function join(tx: Transaction, rollout: Rollout, direction: RolloutDirection, which: RolloutReturn): Promise<void> {
  await patiently(tx)
  await tx`select from rollouts where id = ${rollout.id} for update`
  const isBack = direction === 'back'
  await (isBack ? findForBack(tx, rollout, which) : find(tx, rollout))
  const last = (isBack ? rollout.spec.rollbackWaves : rollout.spec.waves).length - 1
  if (isBack) await wantAgain(tx, rollout, last)
  await dropKnown(tx, rollout, isBack)
  await keep(tx, rollout, isBack, [...new Array<number>(last).fill(0), ROLLOUT_LIMITS.targets])
}

/** Those that a way back that was cancelled did not ask any more, and that it is to go on with. */
async function wantAgain(tx: Transaction, { id }: Rollout, wave: number): Promise<void> {
  await tx`
    update rollout_targets t set status = 'waiting', reason = null, ended_at = null, wave = ${wave}
    from found where t.rollout = ${id} and t.back and t.wave >= 0 and t.status = 'skipped' and t.reason = 'cancelled' and t.incarnation = found.incarnation`
}

/** Devices that are among its targets already, and those that were excluded before it chose. */
async function dropKnown(tx: Transaction, { id }: Rollout, isBack: boolean): Promise<void> {
  await tx`delete from found using rollout_targets t where t.rollout = ${id} and t.back = ${isBack} and t.incarnation = found.incarnation`
}

/** A million devices take a while; whoever waits for the rollout's row waits as long. */
export async function patiently(tx: Transaction): Promise<void> {
  await tx`set local statement_timeout = '5min'`
  await tx`set local transaction_timeout = 0`
}

/** `place`: of the wave of a group that it is a member of, among these; null: of none. */
async function found(tx: Transaction): Promise<void> {
  await tx`create temp table found (incarnation int, device text, firmware uuid, from_version text, reason text, place int) on commit drop`
}

/** All devices that the rollout is for, with why they are left out. */
export async function find(tx: Transaction, { tenant, spec, firmware, id }: Described): Promise<void> {
  await found(tx)
  const filter = parseFilter(spec.target.filter ?? (await filterOf(tx, tenant, spec.target.group)))
  const parameters: string[] = [tenant, firmware.id]
  const next = () => parameters.length + 1
  const { where, parameters: own } = compileFilter(filter, next())
  parameters.push(...own)
  const out = leftOut(firmware, await pinsOf(tx, tenant), next())
  parameters.push(...out.parameters)
  const places: string[] = []
  for (const wave of spec.waves) {
    if (!('group' in wave)) continue
    const member = compileFilter(parseFilter(await filterOf(tx, tenant, wave.group)), next())
    parameters.push(...member.parameters)
    places.push(`when ${member.where} then ${places.length}`)
  }
  const made = await tx.unsafe(
    `insert into found
     select d.incarnation, d.device, $2::uuid, ${RUNS.version}, ${out.reason}, ${places.length > 0 ? `case ${places.join(' ')} end` : 'null'}
     from ${FILTERED} ${out.join} where d.tenant = $1 and ${where} limit ${ROLLOUT_LIMITS.targets + 1}`,
    parameters,
  )
  if (made.count > ROLLOUT_LIMITS.targets)
    throw new CastorError('invalid', `Rollout ${id} finds more than ${ROLLOUT_LIMITS.targets} devices: make its filter narrower.`)
}

/** All devices that run what the rollout brought. */
async function findForBack(tx: Transaction, { id, tenant, firmware }: Rollout, which: RolloutReturn): Promise<void> {
  await found(tx)
  const out = leftOutBack(firmware, 't.from_version', await pinsOf(tx, tenant), 5)
  await tx.unsafe(
    `insert into found
     select d.incarnation, d.device, f.id, ${RUNS.version}, ${out.reason}, null
     from rollout_targets t join ${FILTERED} on d.incarnation = t.incarnation ${out.join}
     where t.rollout = $1 and not t.back and t.wave >= 0 and t.started_at is not null and t.status not in ('waiting', 'underway', 'skipped')
       and ($2 = 'updated' or t.status <> 'healthy') and ${sameFirmware('$3', '$4')}`,
    [id, which, firmware.version, firmware.sha256, ...out.parameters],
  )
}

async function filterOf(tx: Transaction, tenant: string, name: string): Promise<string> {
  const group = await findGroup(tx, tenant, name)
  if (!group) throw new CastorError('invalid', `There is no group ${JSON.stringify(name)} of tenant ${tenant}.`)
  return group.filter
}

/** How many of those that were found are in each wave. */
export async function sizesOf(tx: Transaction, waves: WaveRule[]): Promise<number[]> {
  const rows = await tx<Array<{ place: number | null; count: number }>>`
    select place, count(*)::int as count from found where reason is null group by place`
  const total = rows.reduce((sum, { count }) => sum + count, 0)
  const groups = waves.filter((wave) => 'group' in wave).map((_, place) => rows.find((row) => row.place === place)?.count ?? 0)
  return waveSizes(total, waves, groups)
}

/** Those that are left out go into wave -1, with why. */
async function keep(tx: Transaction, { id }: Rollout, isBack: boolean, sizes: number[]): Promise<void> {
  const ends: number[] = []
  for (const size of sizes) ends.push((ends.at(-1) ?? 0) + size)
  await tx.unsafe(
    `insert into rollout_targets (rollout, back, number, wave, incarnation, device, firmware, from_version, status, reason, ended_at)
     select $1::uuid, $2, before.number + nth, case when reason is null then width_bucket(nth - 1, $3::text::int[]) else -1 end,
       incarnation, device, firmware, from_version, case when reason is null then 'waiting' else 'skipped' end, reason,
       case when reason is not null then now() end
     from (select *, row_number() over (order by reason is not null, ${ORDER})::int as nth from found) numbered,
       (select coalesce(max(number), 0) as number from rollout_targets where rollout = $1::uuid and back = $2) before`,
    [id, isBack, `{${ends.join(',')}}`],
  )
}
