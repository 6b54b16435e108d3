/** Whom a rollout would reach if it chose now. Nothing is kept of it. */
import type { RolloutPreview } from '../../activities/rollout-ports.ts'
import type { Transaction } from './connect.ts'
import { type Described, find, ORDER, patiently, sizesOf } from './rollout-choose.ts'

const SAMPLE = 5
const MOST_ROWS = 20

export async function preview(tx: Transaction, rollout: Described): Promise<RolloutPreview> {
  await patiently(tx)
  await find(tx, rollout)
  await markExcluded(tx, rollout.id)
  const sizes = await sizesOf(tx, rollout.spec.waves)
  const versions = await tx<RolloutPreview['versions']>`
    select from_version as version, count(*)::int as devices from found where reason is null
    group by from_version order by count(*) desc, from_version limit ${MOST_ROWS}`
  const leftOut = await tx<RolloutPreview['leftOut']>`
    select reason, count(*)::int as devices,
      array(select device from found sampled where sampled.reason = found.reason order by device limit ${SAMPLE}) as sample
    from found where reason is not null group by reason order by count(*) desc, reason`
  const total = sizes.reduce((sum, size) => sum + size, 0)
  return {
    found: leftOut.reduce((sum, { devices }) => sum + devices, total),
    total,
    waves: await samplesOf(tx, rollout.id, sizes),
    versions: [...versions],
    leftOut: [...leftOut],
  }
}

/** Those that a draft is to leave out. */
async function markExcluded(tx: Transaction, id: string): Promise<void> {
  await tx`
    update found set reason = 'excluded' from rollout_targets t
    where t.rollout = ${id} and not t.back and t.reason = 'excluded' and t.incarnation = found.incarnation`
}

/** The first of each wave. */
async function samplesOf(tx: Transaction, id: string, sizes: number[]): Promise<RolloutPreview['waves']> {
  const firsts = sizes.map((_, wave) => sizes.slice(0, wave).reduce((sum, size) => sum + size, 0))
  const rows = await tx.unsafe<Array<{ wave: number; device: string }>>(
    `select wave, device from (select device, row_number() over (order by ${ORDER})::int as nth from found where reason is null) numbered
     join unnest($2::text::int[], $3::text::int[]) with ordinality as waves (first, size, wave) on nth > first and nth <= first + least(size, ${SAMPLE})
     order by nth`,
    [id, `{${firsts.join(',')}}`, `{${sizes.join(',')}}`],
  )
  return sizes.map((devices, wave) => ({ devices, sample: rows.filter((row) => row.wave === wave + 1).map(({ device }) => device) }))
}
