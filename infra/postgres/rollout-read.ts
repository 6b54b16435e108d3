/** Rollouts as REST makes, reads and asks them. Their workflows are started and told by infra/temporal/rollout-starter.ts. */
import type { IdempotencyClaim } from '../../api/ports.ts'
import type { RolloutAsked, RolloutRow, RolloutStanding, Rollouts, TargetRow } from '../../api/rollout-ports.ts'
import { initialRollout } from '../../twin-models/core/rollout.ts'
import type { NewRollout, RolloutPace, RolloutPreview, RolloutSpec, RolloutState } from '../../twin-models/core/rollout-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { USABLE_PROBLEMS, usableProblem } from '../../twin-models/firmware/usable.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { findFirmware, findVersion } from './firmware.ts'
import { claimKey } from './idempotency.ts'
import { askRollout } from './rollout-asked.ts'
import { countsOf, detailsOf } from './rollout-counts.ts'
import { preview } from './rollout-preview.ts'
import { registerRollout } from './rollouts.ts'

/** `previews`: a pool of their own, since one of a million devices takes a while. */
export function createRollouts(sql: Sql, previews: Sql): Rollouts {
  return {
    create: (rollout, claim) => create(sql, rollout, claim),
    preview: (rollout) => previews.begin((tx) => previewOf(tx, rollout)) as Promise<RolloutPreview>,
    find: async (tenant, id) => {
      const [row] = await sql<StoredRollout[]>`${selected(sql)} where tenant = ${tenant} and id = ${id}`
      return row && parsed(row)
    },
    list: async (tenant, statuses, { after, limit }) => {
      const rows = await sql<StoredRollout[]>`
        ${selected(sql)} where tenant = ${tenant} and number < ${after ?? Number.MAX_SAFE_INTEGER}
          ${statuses === undefined ? sql`` : sql`and status = any(${statuses as string[]}::text[])`}
        order by number desc limit ${limit}`
      return rows.map(parsed)
    },
    look: (rollout) => look(sql, rollout),
    targets: (id, query, page) => targets(sql, id, query, page),
    ask: (tenant, id, asked, judge) => sql.begin((tx) => ask(tx, tenant, id, asked, judge)),
  }
}

async function create(sql: Sql, rollout: NewRollout, claim: IdempotencyClaim | undefined): Promise<'written' | 'claimed'> {
  return sql.begin(async (tx) => {
    if (claim && !(await claimKey(tx, rollout.tenant, claim, JSON.stringify({ rollout: rollout.id })))) return 'claimed'
    await registerRollout(tx, rollout)
    return 'written'
  })
}

async function previewOf(tx: Transaction, { id, tenant, spec }: Parameters<Rollouts['preview']>[0]): Promise<RolloutPreview> {
  const { name, version } = spec.firmware
  const firmware = await findVersion(tx, tenant, name, version)
  if (!firmware) throw new CastorError('invalid', `There is no firmware ${name} ${version}.`)
  const manifest = manifestSchema.parse(JSON.parse(firmware.manifest))
  return preview(tx, { id, tenant, spec, firmware: { ...firmware, manifest, problem: null } })
}

type StoredRollout = Omit<RolloutRow, 'spec' | 'asked' | 'pace'> & { spec: string; asked: string | null; pace: RolloutPace | null }

function selected(sql: Queries) {
  return sql`
    select id, number, name, spec, requested_by as "requestedBy", approved_by as "approvedBy", status, reason, wave, back as "isBack", asked,
      state::json -> 'pace' as pace,
      ${sql.unsafe(epochMs('created_at'))} as "createdAt", ${sql.unsafe(epochMs('started_at'))} as "startedAt",
      ${sql.unsafe(epochMs('ended_at'))} as "endedAt"
    from rollouts`
}

function parsed({ spec: text, asked, pace, ...row }: StoredRollout): RolloutRow {
  const spec = JSON.parse(text) as RolloutSpec
  return { ...row, spec, pace: pace ?? spec.pace, asked: JSON.parse(asked ?? '[]') as RolloutAsked[] }
}

/** `details` are of its direction, `before` of the way forward. */
async function look(sql: Sql, rollout: RolloutRow): ReturnType<Rollouts['look']> {
  const { spec, isBack } = rollout
  const [forward, back, details, before] = await Promise.all([
    countsOf(sql, rollout, false, spec.waves.length),
    isBack ? countsOf(sql, rollout, true, spec.rollbackWaves.length) : undefined,
    detailsOf(sql, rollout, isBack),
    isBack ? detailsOf(sql, rollout, false) : undefined,
  ])
  return { waves: forward.waves, ...(back && { back: back.waves }), details, ...(before && { before }) }
}

async function targets(
  sql: Queries,
  id: string,
  { statuses, wave, isBack }: Parameters<Rollouts['targets']>[1],
  { after, limit }: Parameters<Rollouts['targets']>[2],
): Promise<TargetRow[]> {
  return sql<TargetRow[]>`
    select number, back as "isBack", device, wave, from_version as "fromVersion", case when started_at is not null then "update" end as "update",
      status, reason, ${sql.unsafe(epochMs('started_at'))} as "startedAt", ${sql.unsafe(epochMs('ended_at'))} as "endedAt"
    from rollout_targets
    where rollout = ${id} and (back, number) > (${after?.isBack ?? false}, ${after?.number ?? 0})
      ${statuses === undefined ? sql`` : sql`and status = any(${statuses as string[]}::text[])`}
      ${wave === undefined ? sql`` : sql`and wave = ${wave}`}
      ${isBack === undefined ? sql`` : sql`and back = ${isBack}`}
    order by back, number limit ${limit}`
}

/** Of two who ask at once the second is judged by what the first one asked. */
async function ask(tx: Transaction, tenant: string, id: string, asked: RolloutAsked, judge: (standing: RolloutStanding) => string) {
  const [row] = await tx<
    Array<{ spec: string; by: string; state: string | null; asked: string | null; isBack: boolean; firmware: string }>
  >`
    select spec, requested_by as by, firmware, state, asked, back as "isBack" from rollouts where tenant = ${tenant} and id = ${id} for update`
  if (!row) return undefined
  const spec = JSON.parse(row.spec) as RolloutSpec
  const firmware = await findFirmware(tx, tenant, row.firmware)
  const problem = firmware && usableProblem(firmware, Date.now())
  const plan = { ...spec, by: row.by }
  const answer = judge({
    state: row.state === null ? initialRollout(plan) : (JSON.parse(row.state) as RolloutState),
    plan,
    counts: await countsOf(tx, { id }, row.isBack, (row.isBack ? spec.rollbackWaves : spec.waves).length),
    asked: JSON.parse(row.asked ?? '[]') as RolloutAsked[],
    unusable: problem && USABLE_PROBLEMS[problem],
  })
  return (await askRollout(tx, tenant, id, asked)) ? { answer } : 'too-many'
}
