/** How the devices of a rollout stand: counts for each step, and the details that an operator reads now and then. */
import type { LeftOut, Rollout, RolloutDetails } from '../../activities/rollout-ports.ts'
import type { RolloutCounts, WaveCounts } from '../../twin-models/core/rollout-types.ts'
import { EMPTY_WAVE } from '../../twin-models/core/rollout-waves.ts'
import type { UpdateEnd } from '../../twin-models/core/types.ts'
import type { Queries } from './connect.ts'

const SAMPLE = 5
const MOST_ROWS = 10
/** Sites are judged by the newest of those that ended well and of those that did not. */
const SITE_DEVICES = 10_000
const SITE = { failed: 3, times: 2, most: 5 } as const

/** `waves`: how many there are. */
export async function countsOf(sql: Queries, { id }: Pick<Rollout, 'id'>, isBack: boolean, waves: number): Promise<RolloutCounts> {
  const rows = await sql<Array<{ wave: number; status: string; reason: string; devices: number; back: boolean }>>`
    select wave, status, reason, devices, back from rollout_counts where rollout = ${id} and wave >= 0`
  const later = await sql<Array<{ wave: number; devices: number }>>`
    select wave, count(*)::int as devices from rollout_targets
    where rollout = ${id} and back = ${isBack} and not_before > now() group by wave`
  const counts: WaveCounts[] = Array.from({ length: waves }, () => ({ ...EMPTY_WAVE }))
  let ahead = 0
  for (const { wave, status, reason, devices, back } of rows) {
    const of = counts[wave]
    if (isBack && !back && status === 'underway') ahead += devices
    if (!of || back !== isBack) continue
    of.total += devices
    of[columnOf(status, reason)] += devices
    if (status === 'timed-out' && reason === 'silent') of.silent += devices
  }
  for (const { wave, devices } of later) if (counts[wave]) counts[wave].later += devices
  return { waves: counts, ahead }
}

/** As twin-models/core/rollout.ts says it: who was away or found no window is in no share. */
function columnOf(status: string, reason: string): 'waiting' | 'underway' | 'healthy' | 'failed' | 'left' {
  switch (status) {
    case 'waiting':
    case 'underway':
    case 'healthy':
      return status
    case 'failed':
    case 'rolled-back':
    case 'rejected':
      return 'failed'
    case 'timed-out':
      return reason === 'away' || reason === 'no-window' ? 'left' : 'failed'
    default:
      return 'left'
  }
}

export async function detailsOf(sql: Queries, { id }: Pick<Rollout, 'id'>, isBack: boolean): Promise<RolloutDetails> {
  const rows = await sql<Array<{ status: string; reason: string; devices: number; isOut: boolean; sample: string[] }>>`
    select *, array(
      select device from rollout_targets t
      where rollout = ${id} and back = ${isBack} and t.status = groups.status and coalesce(t.reason, 'unknown') = groups.reason
        and (wave < 0) = "isOut"
      limit ${SAMPLE}) as sample
    from (
      select status, coalesce(reason, 'unknown') as reason, wave < 0 as "isOut", count(*)::int as devices from rollout_targets
      where rollout = ${id} and back = ${isBack} and status in ('failed', 'rolled-back', 'rejected', 'timed-out', 'cancelled', 'skipped')
      group by 1, 2, 3 order by 4 desc limit ${MOST_ROWS * 3}) groups
    order by devices desc, status, reason`
  const reasons: RolloutDetails['reasons'] = []
  const leftOut: LeftOut[] = []
  for (const { status, isOut, ...row } of rows) {
    if (isOut) leftOut.push(row)
    else reasons.push({ ...row, status: status as UpdateEnd })
  }
  return { reasons: reasons.slice(0, MOST_ROWS), leftOut: leftOut.slice(0, MOST_ROWS), sites: await sitesOf(sql, id, isBack) }
}

/** Those with at least three failures whose share of failures is at least twice that of the others together. */
async function sitesOf(sql: Queries, id: string, isBack: boolean): Promise<RolloutDetails['sites']> {
  const newest = (what: string) => sql`
    (select incarnation, status <> 'healthy' as failed from rollout_targets
      where rollout = ${id} and back = ${isBack} and wave >= 0 and ${sql.unsafe(what)} order by wave desc, number desc limit ${SITE_DEVICES})`
  const failed = `(status in ('failed', 'rolled-back', 'rejected') or status = 'timed-out' and reason not in ('away', 'no-window'))`
  const rows = await sql<Array<{ site: string | null; failed: number; judged: number }>>`
    select d.attributes ->> 'site' as site, (count(*) filter (where failed))::int as failed, count(*)::int as judged
    from (${newest("status = 'healthy'")} union all ${newest(failed)}) t join devices d using (incarnation)
    group by 1 order by 2 desc, 3`
  const all = rows.reduce((sum, row) => ({ failed: sum.failed + row.failed, judged: sum.judged + row.judged }), { failed: 0, judged: 0 })
  return rows
    .flatMap(({ site, ...row }) => (site === null ? [] : [{ site, ...row }]))
    .filter(({ failed, judged }) => {
      const others = { failed: all.failed - failed, judged: all.judged - judged }
      return failed >= SITE.failed && others.judged > 0 && failed * others.judged >= SITE.times * others.failed * judged
    })
    .slice(0, SITE.most)
}
