/** Twins as REST reads them: the registry row with its decided part, joined with the latest values of the inbox row. */
import type { Page, TwinRow, Twins } from '../../api/ports.ts'
import type { CompiledFilter } from '../../twin-models/filter/sql.ts'
import { preparedShapes, TWIN_COLUMNS } from './columns.ts'
import type { Queries } from './connect.ts'

export function createTwins(sql: Queries): Twins {
  const isPrepared = preparedShapes(128)
  return {
    find: (tenant, device) => findTwin(sql, tenant, device),
    search: (tenant, page, filter) => searchTwins(sql, tenant, page, filter, isPrepared),
  }
}

const FIND = `select ${TWIN_COLUMNS} from devices d left join twin_inbox i on i.incarnation = d.incarnation
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
  const text = `select ${TWIN_COLUMNS} from devices d left join twin_inbox i on i.incarnation = d.incarnation
    where d.tenant = $1 and d.device > $2 ${filter ? `and ${filter.where}` : ''} order by d.device limit ${page.limit}`
  const parameters = [tenant, page.after ?? '', ...(filter?.parameters ?? [])]
  return sql.unsafe<TwinRow[]>(text, parameters, { prepare: isPrepared(text) })
}
