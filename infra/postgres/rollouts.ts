/**
 * Rollouts in Postgres, for their workflows. What a step does it does once, under its number: so neither a lost result, nor an attempt that was
 * given up and comes late, nor a run that was set back asks anybody twice.
 */
import type { ForwardResult, Rollout, RolloutLook, RolloutStood, RolloutStore, RolloutStoreStep } from '../../activities/rollout-ports.ts'
import { type NewRollout, ROLLOUT_LIMITS, type RolloutSpec } from '../../twin-models/core/rollout-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { USABLE_PROBLEMS, usableProblem } from '../../twin-models/firmware/usable.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { findFirmware, findVersion } from './firmware.ts'
import { findGroup } from './groups.ts'
import { choose, join } from './rollout-choose.ts'
import { countsOf, detailsOf } from './rollout-counts.ts'
import { tellStatus } from './rollout-events.ts'
import { preview } from './rollout-preview.ts'
import { cancelRunning, dropWaiting, exclude, settle, stopSoaking, stopUntold } from './rollout-settle.ts'
import { start } from './rollout-start.ts'

/** `choosing`: a pool of its own for what may look at a million devices. */
export function createRolloutStore(sql: Sql, choosing: Sql): RolloutStore {
  return {
    register: (rollout) => registerRollout(sql, rollout),
    find: (tenant, id) => findRollout(sql, tenant, id),
    claim: (rollout, workflow) => sql.begin((tx) => claim(tx, rollout, workflow)),
    preview: (rollout) => choosing.begin((tx) => preview(tx, rollout)) as ReturnType<RolloutStore['preview']>,
    choose: (rollout, direction, which) => choosing.begin((tx) => choose(tx, rollout, direction, which ?? 'updated')),
    join: (rollout, direction, which) => choosing.begin((tx) => join(tx, rollout, direction, which ?? 'updated')),
    step: (rollout, step) => doStep(sql, rollout, step),
  }
}

/** Throws `invalid` where what it names is not there, or must not be rolled out; `conflict` where too many have not ended. */
export async function registerRollout(sql: Queries, { id, tenant, spec, by }: NewRollout): Promise<void> {
  const [known] = await sql`select 1 as one from tenants where tenant = ${tenant}`
  if (!known) throw new CastorError('invalid', `There is no tenant ${JSON.stringify(tenant)}.`)
  const { name, version } = spec.firmware
  const firmware = await findVersion(sql, tenant, name, version)
  if (!firmware) throw new CastorError('invalid', `There is no firmware ${name} ${version} of tenant ${tenant}: upload it first.`)
  const problem = usableProblem(firmware, Date.now())
  if (problem) throw new CastorError('invalid', `Firmware ${name} ${version} cannot be rolled out. ${USABLE_PROBLEMS[problem]}`)
  for (const group of groupsOf(spec))
    if (!(await findGroup(sql, tenant, group))) throw new CastorError('invalid', `There is no group ${group} of tenant ${tenant}.`)
  const [{ open }] = await sql<[{ open: number }]>`
    select count(*)::int as open from rollouts where tenant = ${tenant} and ended_at is null and id <> ${id}`
  if (open >= ROLLOUT_LIMITS.open)
    throw new CastorError(
      'conflict',
      `${open} rollouts have not ended, drafts included, which is the most: cancel those that are not wanted.`,
    )
  await sql`
    insert into rollouts (id, tenant, name, firmware, spec, requested_by)
    values (${id}, ${tenant}, ${spec.name}, ${firmware.id}, ${JSON.stringify(spec)}, ${by}) on conflict (id) do nothing`
}

function groupsOf({ target, waves }: RolloutSpec): string[] {
  return [...(target.group === undefined ? [] : [target.group]), ...waves.flatMap((wave) => ('group' in wave ? [wave.group] : []))]
}

async function findRollout(sql: Queries, tenant: string, id: string): Promise<Rollout | undefined> {
  const [row] = await sql<
    Array<{ spec: string; by: string; firmware: string; createdAt: number; state: string | null; heard: string | null; step: number }>
  >`
    select spec, requested_by as by, firmware, ${sql.unsafe(epochMs('created_at'))} as "createdAt", state, heard, step
    from rollouts where tenant = ${tenant} and id = ${id}`
  const firmware = row && (await findFirmware(sql, tenant, row.firmware))
  if (!firmware) return undefined
  const manifest = manifestSchema.parse(JSON.parse(firmware.manifest))
  const stood = stoodOf(row)
  return {
    ...{ id, tenant, spec: JSON.parse(row.spec) as RolloutSpec, by: row.by, createdAt: row.createdAt },
    firmware: { ...firmware, manifest, problem: usableProblem(firmware, Date.now()) ?? null },
    ...(stood && { carried: { n: row.step, ...stood } }),
  }
}

function stoodOf({ state, heard }: { state: string | null; heard: string | null }): RolloutStood | undefined {
  return state === null ? undefined : { state: JSON.parse(state), heard: JSON.parse(heard ?? '[]') }
}

async function claim(tx: Transaction, { id, tenant }: Rollout, workflow: string): Promise<void> {
  const [row] = await tx<Array<{ worker: string | null; isOver: boolean }>>`
    select workflow as worker, ended_at is not null as "isOver" from rollouts where id = ${id} and tenant = ${tenant} for update`
  if (row && row.worker !== null && row.worker !== workflow && !row.isOver)
    throw new CastorError('conflict', `The workflow ${row.worker} works on this rollout already.`)
  await tx`update rollouts set workflow = ${workflow} where id = ${id}`
}

async function doStep(sql: Sql, rollout: Rollout, asked: RolloutStoreStep): Promise<RolloutLook> {
  await doInChunks(sql, rollout, asked)
  return (await sql.begin((tx) => doAtOnce(tx, rollout, asked))) as RolloutLook
}

/** What may concern all devices: done before, each part of it once whoever does it again. */
async function doInChunks(sql: Sql, rollout: Rollout, { n, effects, step, state }: RolloutStoreStep): Promise<void> {
  const isCancelling = effects?.cancelRunning || (step?.kind === 'halt' && step.cancelRunning)
  const isDropping = effects?.dropWaiting || step?.kind === 'done'
  const isBack = (effects?.direction ?? state.direction) === 'back'
  const reason = state.status === 'rolling-back' ? 'rollback' : 'cancelled'
  if (isDropping) await dropWaiting(sql, rollout, isBack, reason, n)
  if (state.status === 'halted') await stopUntold(sql, rollout, isBack, n)
  if (isCancelling) await cancelRunning(sql, rollout, isBack, n)
  if (state.direction === 'back') await stopSoaking(sql, rollout)
}

async function doAtOnce(
  tx: Transaction,
  rollout: Rollout,
  { n, state, heard, effects, step, detailed }: RolloutStoreStep,
): Promise<RolloutLook> {
  const { id, spec } = rollout
  const [row] = await tx<Array<{ step: number; state: string | null; heard: string | null }>>`
    select step, state, heard from rollouts where id = ${id} for update`
  if (!row) throw new CastorError('not-found', `There is no rollout ${id} any more.`)
  const isBack = state.direction === 'back'
  const isOver = state.status === 'cancelled'
  await settle(tx, rollout, false, isBack || isOver)
  if (isBack) await settle(tx, rollout, true, isOver)
  let excluded: RolloutLook['excluded']
  if (effects?.exclude !== undefined) excluded = await exclude(tx, rollout, effects.direction === 'back', effects.exclude)
  if (row.step < n) {
    if (step?.kind === 'start' && (isBack || !rollout.firmware.problem)) await start(tx, rollout, isBack, step.wave, step.count, Date.now())
    await tellStatus(tx, rollout, state, step?.kind === 'done')
    await tx`update rollouts set step = ${n}, state = ${JSON.stringify(state)}, heard = ${JSON.stringify(heard)} where id = ${id}`
  }
  const ahead = row.step > n ? stoodOf(row) : undefined
  return {
    n: Math.max(row.step, n),
    ...(ahead && { ahead }),
    counts: await countsOf(tx, rollout, isBack, (isBack ? spec.rollbackWaves : spec.waves).length),
    problem: rollout.firmware.problem,
    ...(detailed && { details: await detailsOf(tx, rollout, isBack) }),
    ...(detailed && isBack && { forward: await forwardOf(tx, rollout) }),
    ...(excluded && { excluded }),
  }
}

async function forwardOf(tx: Transaction, rollout: Rollout): Promise<ForwardResult> {
  const { waves } = await countsOf(tx, rollout, false, rollout.spec.waves.length)
  return { waves, details: await detailsOf(tx, rollout, false) }
}
