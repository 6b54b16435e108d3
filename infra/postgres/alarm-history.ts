/**
 * What was decided of one alarm, out of the history of its device. The row of the alarm has the times between which that stands; which events
 * are of it stands in their JSON, which is read here and not by Postgres: there may be U+0000 in it.
 */
import type { AlarmKey } from '../../api/alarm-ports.ts'
import type { DecidedEvent, Page } from '../../api/ports.ts'
import type { AlarmEvent } from '../../twin-models/core/types.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

const KINDS: Array<AlarmEvent['kind']> = [
  'alarm-raised',
  'alarm-updated',
  'alarm-acknowledged',
  'alarm-shelved',
  'alarm-assigned',
  'alarm-commented',
  'alarm-cleared',
]
const READ = 500

export async function readAlarmHistory(
  sql: Queries,
  tenant: string,
  key: AlarmKey,
  { after, limit }: Page<{ revision: number; n: number }>,
): Promise<DecidedEvent[] | undefined> {
  const [alarm] = await sql`select from alarms where tenant = ${tenant} and incarnation = ${key.incarnation} and n = ${key.n}`
  if (!alarm) return undefined
  const found: DecidedEvent[] = []
  for (let last = after ?? { revision: 0, n: 0 }; found.length < limit; ) {
    const rows = await candidates(sql, key, last)
    found.push(...rows.filter((row) => isOf(row, key.n)))
    if (rows.length < READ) break
    last = rows.at(-1)!
  }
  return found.slice(0, limit)
}

/** Alarm events of the device in whose JSON this number stands: those of the alarm, and perhaps some others. */
async function candidates(sql: Queries, { incarnation, n }: AlarmKey, after: { revision: number; n: number }): Promise<DecidedEvent[]> {
  return sql<DecidedEvent[]>`
    select h.revision, h.n, ${sql.unsafe(epochMs('h.at'))} as time, h.kind, h.event, h.cause
    from alarms a join twin_history h on h.incarnation = a.incarnation and h.revision <= a.revision
      and h.at >= a.first_written_at and h.at <= a.last_written_at
    where a.incarnation = ${incarnation} and a.n = ${n} and (h.revision, h.n) > (${after.revision}::int, ${after.n}::int)
      and h.kind = any(${KINDS}::text[]) and (h.event like ${`%"n":${n},%`} or h.event like ${`%"n":${n}}%`})
    order by h.revision, h.n limit ${READ}`
}

function isOf({ event }: DecidedEvent, n: number): boolean {
  const { n: own, alarm } = JSON.parse(event) as { n?: number; alarm?: { n: number } }
  return (alarm?.n ?? own) === n
}
