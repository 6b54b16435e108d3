/**
 * Scheduled predictions: models whose round is due, page by page over the devices of their filter, and what waited for too long. Each page is one
 * transaction with its model's row locked, so it does not matter how many do this at once.
 */
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { EXPIRES_AFTER_MS, MOST_WAITING } from '../../twin-models/prediction/types.ts'
import type { PredictionSettings } from '../../twin-models/schemas/prediction-model.ts'
import { FILTERED } from './bulk-changes.ts'
import type { Queries, Sql } from './connect.ts'

const DEVICES_A_PAGE = 100
const ROWS_A_TIME = 500
/** Of what may wait of a tenant: the rest is left to rules, tickets and people. */
const MOST_SCHEDULED = MOST_WAITING / 2

export interface ScheduledPage {
  tenant: string
  model: string
  /** Devices that are asked about now. */
  asked: number
}

/**
 * One page of the model that is due for longest and whose tenant has room. Undefined: there is none. A device whose prediction of this model still
 * waits is passed by; rounds that were missed are not made up for. What a page throws is of its model alone: see `postponed`.
 */
export async function askNextPage(
  sql: Sql,
  failed: (model: { tenant: string; name: string }, error: unknown) => void,
): Promise<ScheduledPage | undefined> {
  let due: DueModel | undefined
  try {
    return await sql.begin(async (tx) => {
      due = await nextDue(tx)
      return due && (await askPage(tx, due))
    })
  } catch (error) {
    if (!due) throw error
    // One whose filter no longer works must not stand before all others for ever.
    await sql`update prediction_models set next_at = now() + make_interval(secs => every_ms / 1000.0), after = null where tenant = ${due.tenant} and name = ${due.name}`
    failed(due, error)
    return { tenant: due.tenant, model: due.name, asked: 0 }
  }
}

/** Those that waited for so long have failed, a bounded number at a time. */
export async function expirePredictions(sql: Queries): Promise<number> {
  const minutes = EXPIRES_AFTER_MS / 60_000
  const { count } = await sql`
    update predictions set status = 'failed', answered_at = now(), error = ${`It was not answered within ${minutes} minutes: it would tell of another time now.`}
    where id in (
      select id from predictions where status = 'waiting' and asked_at < now() - make_interval(secs => ${EXPIRES_AFTER_MS / 1_000})
      limit ${ROWS_A_TIME} for update skip locked)`
  return count
}

interface DueModel {
  tenant: string
  name: string
  body: string
  after: string | null
  room: number
}

async function nextDue(tx: Queries): Promise<DueModel | undefined> {
  const [due] = await tx<DueModel[]>`
    select m.tenant, m.name, m.body, m.after, ${MOST_SCHEDULED} - w.waiting as room
    from prediction_models m cross join lateral (
      select count(*)::int as waiting from (select from predictions p where p.tenant = m.tenant and p.status = 'waiting' limit ${MOST_SCHEDULED}) counted
    ) w
    where m.next_at <= now() and w.waiting < ${MOST_SCHEDULED}
    order by m.next_at limit 1 for update of m skip locked`
  return due
}

async function askPage(tx: Queries, { tenant, name, body, after, room }: DueModel): Promise<ScheduledPage> {
  const { schedule } = JSON.parse(body) as PredictionSettings
  const limit = Math.min(DEVICES_A_PAGE, room)
  const { where, parameters } = compileFilter(parseFilter(schedule!.filter), 4)
  const devices = await tx.unsafe<Array<{ incarnation: number; device: string }>>(
    `select d.incarnation, d.device from ${FILTERED} where d.tenant = $1 and d.device > $2 and ${where} order by d.device limit $3::int`,
    [tenant, after ?? '', limit, ...parameters],
  )
  const { count } = await tx`
    insert into predictions (id, tenant, incarnation, device, model, requested_kind, requested_by)
    select gen_random_uuid(), ${tenant}, incarnation, device, ${name}, 'schedule', ${name}
    from json_to_recordset(${JSON.stringify(devices)}::text::json) as new (incarnation int, device text)
    where not exists (select from predictions p where p.incarnation = new.incarnation and p.model = ${name} and p.status = 'waiting')`
  const isOver = devices.length < limit
  await tx`
    update prediction_models set after = ${isOver ? null : devices.at(-1)!.device},
      next_at = case when ${isOver}
        then next_at + make_interval(secs => every_ms / 1000.0 * (1 + floor(extract(epoch from now() - next_at) * 1000 / every_ms))::float8) else next_at end
    where tenant = ${tenant} and name = ${name}`
  return { tenant, model: name, asked: count }
}
