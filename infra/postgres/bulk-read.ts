/** Bulk changes as REST reads and asks them. Their workflows are started and told by infra/temporal/bulk-starter.ts. */
import { changeProblem } from '../../activities/bulk-activities.ts'
import type { BulkChanges, BulkRow, BulkTargetRow } from '../../api/ports.ts'
import { withoutNulls } from '../../twin-models/core/merge-patch.ts'
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import type { BulkRequest } from '../../twin-models/schemas/bulk-change.ts'
import { FILTERED, progressOf, registerBulkChange } from './bulk-changes.ts'
import { epochMs } from './columns.ts'
import type { Sql } from './connect.ts'

const SAMPLE = 20

export function createBulkChanges(sql: Sql, models: (name: string) => DeviceModel | undefined): BulkChanges {
  return {
    create: async (change) => {
      await registerBulkChange(sql, change)
    },
    preview: (tenant, request) => preview(sql, models, tenant, request),
    find: async (tenant, id) => {
      const [row] = await sql<StoredBulk[]>`select ${sql.unsafe(BULK_COLUMNS)} from bulk_changes where tenant = ${tenant} and id = ${id}`
      return row && withProgress(row)
    },
    list: async (tenant, { after, limit }) => {
      const rows = await sql<StoredBulk[]>`
        select ${sql.unsafe(BULK_COLUMNS)} from bulk_changes
        where tenant = ${tenant} and number < ${after ?? Number.MAX_SAFE_INTEGER} order by number desc limit ${limit}`
      return Promise.all(rows.map(withProgress))
    },
    targets: (id, status, { after, limit }) => sql<BulkTargetRow[]>`
      select number, device, status, reason, ${sql.unsafe(epochMs('started_at'))} as "startedAt", ${sql.unsafe(epochMs('ended_at'))} as "endedAt"
      from bulk_targets
      where bulk = ${id} and number > ${after ?? 0} ${status === undefined ? sql`` : sql`and status = ${status}`} order by number limit ${limit}`,
    ask: async (tenant, id, wanted) => {
      const asked = await sql`
        update bulk_changes set asked = case when asked = 'cancel' then asked else ${wanted} end
        where tenant = ${tenant} and id = ${id} and ended_at is null`
      return asked.count > 0
    },
  }

  async function withProgress(row: StoredBulk): Promise<BulkRow> {
    return { ...row, progress: await progressOf(sql, row.id) }
  }
}

type StoredBulk = Omit<BulkRow, 'progress'>

const BULK_COLUMNS = `id, number, status, reason, filter, change, pace, requested_by as "requestedBy",
  ${epochMs('created_at')} as "createdAt", ${epochMs('ended_at')} as "endedAt"`

/** By model, since whether devices can take it is a matter of their model. */
async function preview(sql: Sql, models: (name: string) => DeviceModel | undefined, tenant: string, { filter, change }: BulkRequest) {
  const wished = change.wish ? withoutNulls(change.wish) : null
  const { where, parameters } = compileFilter(parseFilter(filter), 3)
  const rows = await sql.unsafe<Array<{ model: string; count: number; differ: number; sample: string[] }>>(
    `select d.model, count(*)::int as count,
       (count(*) filter (where $1::text is null or not coalesce(d.decided -> 'reported' -> 'state', '{}') @> $1::text::jsonb))::int as differ,
       (array_agg(d.device order by d.device))[1:${SAMPLE}] as sample
     from ${FILTERED} where d.tenant = $2 and ${where} group by d.model order by count(*) desc`,
    [wished && JSON.stringify(wished), tenant, ...parameters],
  )
  const judged = rows.map((row) => ({ ...row, problem: changeProblem(change, models(row.model)) }))
  const taking = judged.filter(({ problem }) => problem === undefined)
  return {
    total: rows.reduce((sum, { count }) => sum + count, 0),
    differ: taking.reduce((sum, { differ }) => sum + differ, 0),
    skipped: judged.flatMap(({ problem, count }) => (problem === undefined ? [] : [{ reason: problem, count }])),
    sample: taking.flatMap(({ sample }) => sample).slice(0, SAMPLE),
  }
}
