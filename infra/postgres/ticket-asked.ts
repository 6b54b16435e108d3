/** What was asked of tickets: it stands in their rows until their workflows are told (infra/temporal/ticket-starter.ts), and so does what is new to see. */
import type { TicketAsked, TicketJudge, TicketTaken } from '../../api/ticket-ports.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { findRow } from './ticket-rows.ts'
import { SEEN } from './ticket-sight.ts'

/** More than people ask for while Temporal is away. */
export const MOST_ASKED = 100
/** Told at once. */
const TOLD = 50
/** An alarm that comes and goes for ever is looked at so seldom, once so many joined; not while it is verified, where it is evidence. */
const SELDOM = { alarms: 10, every: '10 minutes' }
/** Of those under way so many are looked for in Temporal at once, and those that should have gone on so long ago. */
const LOOKED_FOR = { rows: 500, late: '1 minute' }

/** Of two who ask at once the second is judged by what the first one asked. */
export async function askTicket(tx: Transaction, tenant: string, id: string, asked: TicketAsked, judge: TicketJudge): Promise<TicketTaken> {
  await tx`select from tickets where tenant = ${tenant} and id = ${id} for update`
  const row = await findRow(tx, tenant, id)
  if (!row) return undefined
  const answer = judge(row)
  return (await putAsked(tx, row, asked)) ? { answer } : 'too-many'
}

/** The row is locked. False: too much waits for its workflow. */
export async function putAsked(
  tx: Transaction,
  { id, asked: before }: { id: string; asked: TicketAsked[] },
  asked: TicketAsked,
): Promise<boolean> {
  if (before.length >= MOST_ASKED) return false
  await tx`update tickets set asked = ${JSON.stringify([...before, asked])} where id = ${id}`
  return true
}

export interface UntoldTicket {
  id: string
  tenant: string
  /** Null: none was started yet. */
  workflow: string | null
  asked: TicketAsked[]
  /** There is something new to see: as `SEEN` says it. Null: nothing. */
  news: string | null
}

/** Those without a workflow, and those whose workflow is to be told something. */
export async function untoldTickets(sql: Queries): Promise<UntoldTicket[]> {
  const rows = await sql<Array<Omit<UntoldTicket, 'asked' | 'news'> & { asked: string | null }>>`
    select id, tenant, workflow, asked from tickets
    where asked is not null or (ended_at is null and workflow is null) order by number limit ${TOLD}`
  return rows.map((row) => ({ ...row, asked: JSON.parse(row.asked ?? '[]') as TicketAsked[], news: null }))
}

/** Those with something new to see, that were not told so. This looks at the alarms of all that are open: some 8 µs each. */
export async function ticketsWithNews(sql: Queries): Promise<UntoldTicket[]> {
  const part = (of: string, n: number) => sql.unsafe(`split_part(${of}, '/', ${n})`)
  const rows = await sql<Array<Omit<UntoldTicket, 'asked'>>>`
    select t.id, t.tenant, t.workflow, s.now as news from tickets t, lateral (select ${sql.unsafe(SEEN)} as now) s
    where t.ended_at is null and t.workflow is not null and s.now <> t.seen and s.now is distinct from t.nudged
      and (t.status = 'verifying' or ${part('s.now', 1)} <> ${part('t.seen', 1)} or ${part('s.now', 4)} <> ${part('t.seen', 4)}
        or ${part('s.now', 2)}::int <= ${SELDOM.alarms} or t.nudged_at is null or t.nudged_at < now() - ${SELDOM.every}::text::interval)
    order by t.number limit ${TOLD}`
  return rows.map((row) => ({ ...row, asked: [] }))
}

/** Those that a workflow works on, some at a time, and all that should have gone on and have not. */
export async function ticketsUnderWay(sql: Queries): Promise<UntoldTicket[]> {
  const rows = await sql<Array<Omit<UntoldTicket, 'asked' | 'news'>>>`
    with open as (
      select id, tenant, workflow, number, wakes_at < now() - ${LOOKED_FOR.late}::text::interval as "isLate", ceil(count(*) over () / ${LOOKED_FOR.rows}::float8) as turns
      from tickets where ended_at is null and workflow is not null
    )
    select id, tenant, workflow from open
    where "isLate" or number % turns::bigint = floor(extract(epoch from now()) / 60)::bigint % turns::bigint
    order by number limit ${2 * LOOKED_FOR.rows}`
  return rows.map((row) => ({ ...row, asked: [], news: null }))
}

export async function ticketStarted(sql: Queries, id: string, workflow: string): Promise<void> {
  await sql`update tickets set workflow = ${workflow} where id = ${id} and workflow is null`
}

/** What was asked meanwhile stays. */
export async function ticketTold(sql: Sql, id: string, asked: TicketAsked[]): Promise<void> {
  await sql`
    update tickets set asked = (
      select json_agg(ask order by place)::text from json_array_elements(asked::json) with ordinality as asks (ask, place)
      where ask ->> 'id' not in (select json_array_elements_text(${JSON.stringify(asked.map((ask) => ask.id))}::text::json)))
    where id = ${id} and asked is not null`
}

export async function ticketNudged(sql: Queries, id: string, news: string): Promise<void> {
  await sql`update tickets set nudged = ${news}, nudged_at = now() where id = ${id}`
}
