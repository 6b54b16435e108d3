/** Stored readings of one device, newest first, by key. */
import type { History, HistoryItem } from '../../api/ports.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

type Query = Parameters<History['readings']>[0]

export async function readTelemetry(sql: Queries, query: Query): Promise<HistoryItem[] | undefined> {
  const [device] = await sql<Array<{ incarnation: number; latest: string }>>`
    select d.incarnation, coalesce(i.latest, '{}') as latest
    from devices d left join twin_inbox i on i.incarnation = d.incarnation
    where d.tenant = ${query.tenant} and d.device = ${query.device}`
  if (!device) return undefined
  // Every property that a device ever sent has a latest value: so these are all its names.
  const names = query.name === undefined ? Object.keys(JSON.parse(device.latest)) : [query.name]
  if (names.length === 0) return []
  return readingsOf(sql, device.incarnation, names, query)
}

/**
 * Each property by its own index range, newest first and no more than a page of it; then merged. So a page costs the same however much
 * is stored. The order within one time is by property id, descending.
 */
async function readingsOf(sql: Queries, incarnation: number, names: string[], query: Query): Promise<HistoryItem[]> {
  const { after, limit } = query.page
  const newest = after ? new Date(after.ts).toISOString() : 'infinity'
  return sql<HistoryItem[]>`
    select p.property, p.name, ${sql.unsafe(epochMs('t.ts'))} as ts, ${sql.unsafe(epochMs('t.received_at'))} as "receivedAt", t.number, t.other
    from properties p cross join lateral (
      select ts, received_at, number, other from telemetry
      where incarnation = ${incarnation} and property = p.property
        and ts >= ${query.from === undefined ? '-infinity' : new Date(query.from).toISOString()}::text::timestamptz
        and ts < ${query.to === undefined ? 'infinity' : new Date(query.to).toISOString()}::text::timestamptz
        and ts <= ${newest}::text::timestamptz
        and (ts < ${newest}::text::timestamptz or p.property < ${after?.property ?? 0})
      order by ts desc limit ${limit}
    ) t
    where p.tenant = ${query.tenant} and p.name = any(${names}::text[])
    order by t.ts desc, p.property desc limit ${limit}`
}
