/** Tickets and other systems: under which key another one knows a ticket, and what it says of it, each message once. */
import type { HeardAnswer, HearingJudge, SystemMessage } from '../../api/ticket-ports.ts'
import type { SeenExternal, TicketOrigin, TicketStory } from '../../twin-models/core/ticket-types.ts'
import type { Transaction } from './connect.ts'
import { putAsked } from './ticket-asked.ts'
import { findRow } from './ticket-rows.ts'
import { tellSystems, writeStory } from './ticket-story.ts'

/** The same again changes nothing. */
export async function setExternal(
  tx: Transaction,
  tenant: string,
  id: string,
  external: SeenExternal,
  by: string,
): Promise<'set' | 'taken' | undefined> {
  const { system, key, url = null, status = null } = external
  await lockKey(tx, tenant, external)
  const [row] = await tx<Array<{ isSame: boolean; step: number }>>`
    select step, (external_system, external_key, external_url, external_status)
      is not distinct from (${system}::text, ${key}::text, ${url}::text, ${status}::text) as "isSame"
    from tickets where tenant = ${tenant} and id = ${id} for update`
  if (!row) return undefined
  const [other] = await tx<Array<{ id: string }>>`
    select id from tickets where tenant = ${tenant} and external_system = ${system} and external_key = ${key} and id <> ${id}`
  if (other) return 'taken'
  if (row.isSame) return 'set'
  await tx`
    update tickets set external_system = ${system}, external_key = ${key}, external_url = ${url}, external_status = ${status}, changed_at = now()
    where id = ${id}`
  const words = `${system} knows it as ${key}${status === null ? '' : ` (${status})`}.`
  const origin: TicketOrigin = { via: 'system', system }
  const line: TicketStory = { at: Date.now(), what: 'external', by, via: 'system', text: words }
  await writeStory(tx, id, [line])
  // Before its first step nobody was told that it is there.
  if (row.step > 0) await tellSystems(tx, id, 'updated', [line], origin)
  return 'set'
}

/** Undefined: it knows no ticket so. Then nothing is kept, and it may say it again when it does. */
export async function hearSystem(
  tx: Transaction,
  tenant: string,
  { system, key, messageId }: SystemMessage,
  judge: HearingJudge,
): Promise<{ answered: HeardAnswer; isAgain: boolean } | 'too-many' | undefined> {
  // Of the same message twice at once the second waits here, and finds what was answered to the first.
  await tx`select pg_advisory_xact_lock(hashtextextended(${`${tenant} ${system} ${messageId}`}, 0))`
  const [before] = await tx<Array<{ answer: string }>>`
    select answer from ticket_messages where tenant = ${tenant} and system = ${system} and message_id = ${messageId}`
  if (before) return { answered: JSON.parse(before.answer) as HeardAnswer, isAgain: true }
  const [known] = await tx<Array<{ id: string }>>`
    select id from tickets where tenant = ${tenant} and external_system = ${system} and external_key = ${key} for update`
  const row = known && (await findRow(tx, tenant, known.id))
  if (!row) return undefined
  const { asked, answer, by } = judge(row)
  if (asked && !(await putAsked(tx, row, asked))) return 'too-many'
  if (!asked) await writeStory(tx, row.id, [ignored(system, by, answer)])
  await tx`
    insert into ticket_messages (tenant, system, message_id, ticket, answer)
    values (${tenant}, ${system}, ${messageId}, ${row.id}, ${JSON.stringify(answer)})`
  return { answered: answer, isAgain: false }
}

function ignored(system: string, by: string, { detail }: HeardAnswer): TicketStory {
  return { at: Date.now(), what: 'ignored', by, via: 'system', text: `What ${system} said was ignored. ${detail}` }
}

/** Two tickets cannot take the same key at once. */
async function lockKey(tx: Transaction, tenant: string, { system, key }: SeenExternal): Promise<void> {
  await tx`select pg_advisory_xact_lock(hashtextextended(${`${tenant} ${system} ${key}`}, 1))`
}
