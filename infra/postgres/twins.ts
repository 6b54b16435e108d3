/**
 * Twins as REST reads them: the registry row with its decided part, joined with the latest values of the inbox row.
 *
 * Half of what a small search costs Postgres is planning it. A search that demands an attribute is nearly always small, so its first page
 * goes over connections that plan once (`quick`): by the index, everything that matches, sorted. What then turns out to match many twins
 * is asked the ordinary way for a while, where the planner sees the values and walks the twins in order until the page is full.
 */
import type { Page, TwinRow, Twins } from '../../api/ports.ts'
import type { CompiledFilter } from '../../twin-models/filter/sql.ts'
import { preparedShapes, TWIN_COLUMNS } from './columns.ts'
import type { Queries } from './connect.ts'

/** More matches than this are many. */
const MANY = 500
const REMEMBER_MANY_MS = 60_000
const MOST_REMEMBERED = 1_000

/** `quick`: a pool with `genericPlans`; without it every search goes the ordinary way. */
export function createTwins(sql: Queries, quick?: Queries): Twins {
  const isPrepared = preparedShapes(128)
  const isQuickPrepared = preparedShapes(128)
  /** Filters that match many, and until when that is believed. */
  const many = new Map<string, number>()

  return {
    find: (tenant, device) => findTwin(sql, tenant, device),
    async search(tenant, page, filter) {
      if (!quick || !filter?.indexed || page.after !== undefined) return searchTwins(sql, tenant, page, filter, isPrepared)
      const key = JSON.stringify([tenant, filter.where, filter.parameters])
      if ((many.get(key) ?? 0) > Date.now()) return searchTwins(sql, tenant, page, filter, isPrepared)
      const rows = await searchFew(quick, tenant, page.limit, filter, isQuickPrepared)
      if ((rows[0]?.matches ?? 0) > MANY) {
        if (many.size >= MOST_REMEMBERED) many.clear()
        many.set(key, Date.now() + REMEMBER_MANY_MS)
      }
      return rows
    },
  }
}

const TWINS = 'devices d left join twin_inbox i on i.incarnation = d.incarnation'
const FIND = `select ${TWIN_COLUMNS}, w.sent_version as "sentVersion" from ${TWINS}
  left join wishes w on w.incarnation = d.incarnation
  where d.tenant = $1 and d.device = $2`

export async function findTwin(sql: Queries, tenant: string, device: string): Promise<TwinRow | undefined> {
  const [row] = await sql.unsafe<TwinRow[]>(FIND, [tenant, device], { prepare: true })
  return row
}

/** By device id. The limit stands in the text: the planner chooses better when it knows it. */
export async function searchTwins(
  sql: Queries,
  tenant: string,
  page: Page<string>,
  filter: CompiledFilter | undefined,
  isPrepared: (text: string) => boolean,
): Promise<TwinRow[]> {
  const text = `select ${TWIN_COLUMNS} from ${TWINS}
    where d.tenant = $1 and d.device > $2 ${filter ? `and ${filter.where}` : ''} order by d.device limit ${page.limit}`
  const parameters = [tenant, page.after ?? '', ...(filter?.parameters ?? [])]
  return sql.unsafe<TwinRow[]>(text, parameters, { prepare: isPrepared(text) })
}

/**
 * The first page, with the number of all that match. It names no place to begin ($2 is there for its number only): a condition on the id
 * would invite the plan to read the tenant's whole index beside the narrow one.
 */
async function searchFew(
  sql: Queries,
  tenant: string,
  limit: number,
  filter: CompiledFilter,
  isPrepared: (text: string) => boolean,
): Promise<Array<TwinRow & { matches: number }>> {
  const text = `select ${TWIN_COLUMNS}, count(*) over ()::int as matches from ${TWINS}
    where d.tenant = $1 and $2::text is null and ${filter.where} order by d.device limit ${limit}`
  return sql.unsafe<Array<TwinRow & { matches: number }>>(text, [tenant, null, ...filter.parameters], { prepare: isPrepared(text) })
}
