/** What twins decided, by the key of the decisions. */
import type { DecidedEvent, History } from '../../api/ports.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

export async function readDecisions(sql: Queries, query: Parameters<History['decisions']>[0]): Promise<DecidedEvent[] | undefined> {
  const [device] = await sql<Array<{ incarnation: number }>>`
    select incarnation from devices where tenant = ${query.tenant} and device = ${query.device}`
  if (!device) return undefined
  const { kinds, from, to, newestFirst, page } = query
  const at = (ms: number) => sql`${new Date(ms).toISOString()}::text::timestamptz`
  return sql<DecidedEvent[]>`
    select revision, n, ${sql.unsafe(epochMs('at'))} as time, kind, event, cause from twin_history
    where incarnation = ${device.incarnation}
      ${page.after ? sql`and (revision, n) ${newestFirst ? sql`<` : sql`>`} (${page.after.revision}::int, ${page.after.n}::int)` : sql``}
      ${kinds ? sql`and kind = any(${kinds}::text[])` : sql``}
      ${from === undefined ? sql`` : sql`and at >= ${at(from)}`}
      ${to === undefined ? sql`` : sql`and at < ${at(to)}`}
    order by revision ${newestFirst ? sql`desc` : sql``}, n ${newestFirst ? sql`desc` : sql``} limit ${page.limit}`
}
