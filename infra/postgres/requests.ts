/** Requests to twins: whoever wants something of one writes a row, and waits for its answer. */
import type { RequestRow, TwinRequests } from '../../api/ports.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

/** Holds on to the device, so that its removal comes after: it answers what was asked before. */
export async function insertRequest(sql: Queries, request: Parameters<TwinRequests['insert']>[0]): Promise<boolean> {
  const { count } = await sql`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select ${request.id}::uuid, tenant, incarnation, incarnation % 16, ${request.kind}, ${request.body} from devices
    where incarnation = ${request.incarnation} and tenant = ${request.tenant} for key share`
  return count > 0
}

export async function answeredRequests(sql: Queries, ids: string[]): Promise<Array<{ id: string; answer: string | null }>> {
  return sql`select id, answer from twin_requests where id = any(${ids}::uuid[]) and answered_at is not null`
}

export async function findRequest(sql: Queries, tenant: string, id: string): Promise<RequestRow | undefined> {
  const [row] = await sql<RequestRow[]>`
    select r.id, d.device, r.kind, ${sql.unsafe(epochMs('r.created_at'))} as "createdAt", r.seq is not null as sealed,
      ${sql.unsafe(epochMs('r.answered_at'))} as "answeredAt", r.answer
    from twin_requests r left join devices d on d.incarnation = r.incarnation
    where r.tenant = ${tenant} and r.id = ${id}`
  return row
}
