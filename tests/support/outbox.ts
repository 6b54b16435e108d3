/** Events of devices as decision writes leave them, and their numbers. */
import type { Sql } from '../../infra/postgres/connect.ts'
import { numberRows } from '../../infra/postgres/outbox.ts'

/** What happens to a device: a door opens, where no kind is said. Other members are the event's. */
export interface Happening {
  incarnation: number
  kind?: string
  [member: string]: unknown
}

/** In this order, and numbered with all that was written before. Gives their positions. */
export async function emit(sql: Sql, happenings: Happening[], at = Date.now()): Promise<number[]> {
  const events = happenings.map(({ incarnation, kind = 'device-event', ...more }) => {
    const opened = kind === 'device-event' && { name: 'doorOpened', ts: at, data: {} }
    return { incarnation, kind, event: JSON.stringify({ at, ...opened, ...more }) }
  })
  const rows = await sql<Array<{ id: number }>>`
    insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
    select now(), d.tenant, d.incarnation, d.device, 1, e.kind, e.event, '{"by":"timer"}'
    from rows from (json_to_recordset(${JSON.stringify(events)}::text::json) as (incarnation int, kind text, event text)) with ordinality
      as e (incarnation, kind, event, n) join devices d on d.incarnation = e.incarnation
    order by e.n returning id`
  await numberRows(sql, 1_000_000)
  const numbered = await sql<Array<{ position: number }>>`
    select position from outbox where id in (select value::bigint from json_array_elements_text(${JSON.stringify(rows.map(({ id }) => id))}::text::json))
    order by position`
  return numbered.map(({ position }) => position)
}
