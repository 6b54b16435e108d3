/** Dead letters as REST reads them: newest first, by id. */
import type { DeadLetterRow, DeadLetters } from '../../api/ports.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

const COLUMNS = `id, ${epochMs('at')} as "receivedAt", device, topic, reason, path, detail, message_id as "messageId", size,
  octet_length(raw) as stored`

export async function listDeadLetters(
  sql: Queries,
  tenant: string,
  { device, reason, page, rawBytes }: Parameters<DeadLetters['list']>[1],
): Promise<DeadLetterRow[]> {
  return sql<DeadLetterRow[]>`
    select ${sql.unsafe(COLUMNS)}, substring(raw from 1 for ${rawBytes}) as raw from dead_letters
    where tenant = ${tenant} and id < ${page.after ?? Number.MAX_SAFE_INTEGER}
      ${device === undefined ? sql`` : sql`and device = ${device}`}
      ${reason === undefined ? sql`` : sql`and reason = ${reason}`}
    order by id desc limit ${page.limit}`
}

export async function findDeadLetter(sql: Queries, tenant: string, id: number): Promise<DeadLetterRow | undefined> {
  const [row] = await sql<DeadLetterRow[]>`
    select ${sql.unsafe(COLUMNS)}, raw from dead_letters where tenant = ${tenant} and id = ${id}`
  return row
}
