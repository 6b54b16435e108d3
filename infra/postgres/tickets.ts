/** Tickets as their workflows work on them: each step is one transaction under its number (ticket-step.ts). */
import type { Ticket, TicketStore } from '../../activities/ticket-ports.ts'
import type { TicketPlan } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { openTicket } from './ticket-open.ts'
import { doTicketStep, stoodOf, type TicketParts } from './ticket-step.ts'

export function createTicketStore(sql: Sql, parts: TicketParts): TicketStore {
  return {
    open: (ticket) => openTicket(sql, ticket),
    incarnationOf: (tenant, device) => incarnationOf(sql, tenant, device),
    find: (tenant, id) => findTicket(sql, tenant, id),
    claim: (ticket, workflow) => sql.begin((tx) => claim(tx, ticket, workflow)),
    step: (ticket, step) => sql.begin((tx) => doTicketStep(tx, parts, ticket, step)) as ReturnType<TicketStore['step']>,
  }
}

async function incarnationOf(sql: Queries, tenant: string, device: string): Promise<number | undefined> {
  const [row] = await sql<Array<{ incarnation: number }>>`select incarnation from devices where tenant = ${tenant} and device = ${device}`
  return row?.incarnation
}

/** What stands fast of it, as it is stored. */
const PLAN_COLUMNS = `id, number, incarnation, device, rule, text, plan, opened_by as by, ${epochMs('created_at')} as "createdAt"`

export interface PlanRow extends Pick<Ticket, 'id' | 'number' | 'incarnation' | 'text'> {
  device: string
  rule: string | null
  /** JSON. */
  plan: string
  by: string
  createdAt: number
}

export function planOf({ plan, device, rule, by, createdAt }: PlanRow): TicketPlan {
  return { ...JSON.parse(plan), device, rule, by, createdAt }
}

async function findTicket(sql: Queries, tenant: string, id: string): Promise<Ticket | undefined> {
  const [row] = await sql<Array<PlanRow & { step: number; state: string | null; heard: string | null }>>`
    select ${sql.unsafe(PLAN_COLUMNS)}, step, state, heard from tickets where tenant = ${tenant} and id = ${id}`
  if (!row) return undefined
  const { number, incarnation, text, step } = row
  const stood = stoodOf(row)
  return { ...{ id, number, tenant, incarnation, text, plan: planOf(row) }, ...(stood && { carried: { n: step, ...stood } }) }
}

async function claim(tx: Transaction, { id, tenant }: Ticket, workflow: string): Promise<void> {
  const [row] = await tx<Array<{ worker: string | null; isOver: boolean }>>`
    select workflow as worker, ended_at is not null as "isOver" from tickets where id = ${id} and tenant = ${tenant} for update`
  if (row && row.worker !== null && row.worker !== workflow && !row.isOver)
    throw new CastorError('conflict', `The workflow ${row.worker} works on this ticket already.`)
  await tx`update tickets set workflow = ${workflow} where id = ${id}`
}
