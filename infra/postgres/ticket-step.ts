/**
 * A step of a ticket: its state, the lines of its story, the messages to people, the request to its twin, the question to a model and the event for
 * other systems, in one transaction under the step's number. So whatever is lost, tried again or reset, none of it is done twice.
 */
import type { Ticket, TicketLook, TicketNotices, TicketPredictions, TicketStood, TicketStoreStep } from '../../activities/ticket-ports.ts'
import { wakeOf } from '../../twin-models/core/ticket.ts'
import type { TicketChange, TicketState } from '../../twin-models/core/ticket-types.ts'
import type { MaintenanceAsk } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { Transaction } from './connect.ts'
import { tellPeople } from './ticket-messages.ts'
import { sightOf } from './ticket-sight.ts'
import { tellSystems, writeStory } from './ticket-story.ts'

export interface TicketParts {
  notices: TicketNotices<Transaction>
  predictions: TicketPredictions<Transaction>
  /** Where REST is reached from outside: links in messages begin with it. */
  publicUrl: string
}

export async function doTicketStep(tx: Transaction, parts: TicketParts, ticket: Ticket, asked: TicketStoreStep): Promise<TicketLook> {
  const { id, plan } = ticket
  const { n, change, heard, seen } = asked
  const [row] = await tx<Array<{ step: number; state: string | null; heard: string | null; seen: string | null }>>`
    select step, state, heard, seen from tickets where id = ${id} for update`
  if (!row) throw new CastorError('not-found', `There is no ticket ${id} any more.`)
  const isDone = change !== undefined && row.step < n
  const before = await sightOf(tx, id, parts.predictions)
  if (isDone && change.event === 'closed' && before.seen !== seen) return { n: n - 1, isStale: true, sight: before }
  if (before.seen !== row.seen) await noteAlarms(tx, id)
  if (isDone) await take(tx, parts, ticket, n, change, heard)
  const state = isDone ? change.state : stoodOf(row)?.state
  await tx`
    update tickets set seen = ${before.seen}, wakes_at = ${timeOf(state && wakeOf(state, plan))} where id = ${id}
      and (seen is distinct from ${before.seen} or ${isDone})`
  const ahead = !isDone && (row.step > n || (change && row.step === n)) ? stoodOf(row) : undefined
  return {
    n: Math.max(row.step, n),
    ...(ahead && { ahead }),
    sight: isDone && change.predict ? await sightOf(tx, id, parts.predictions) : before,
  }
}

export function stoodOf({ state, heard }: { state: string | null; heard: string | null }): TicketStood | undefined {
  return state === null ? undefined : { state: JSON.parse(state) as TicketState, heard: JSON.parse(heard ?? '[]') }
}

async function take(
  tx: Transaction,
  { notices, predictions, publicUrl }: TicketParts,
  ticket: Ticket,
  n: number,
  change: TicketChange,
  heard: TicketStoreStep['heard'],
): Promise<void> {
  const { id } = ticket
  const { state } = change
  const isOver = state.status === 'closed' || state.status === 'cancelled'
  await tx`
    update tickets set step = ${n}, state = ${JSON.stringify(state)}, heard = ${JSON.stringify(heard)}, status = ${state.status},
      severity = ${state.severity}, assignee = ${state.assignee ?? null}, changed_at = now(), ended_at = case when ${isOver} then coalesce(ended_at, now()) end
    where id = ${id}`
  await writeStory(tx, id, change.story)
  if (change.maintenance !== undefined) await askForMaintenance(tx, ticket, n, change.maintenance)
  if (change.predict) await askForPrediction(tx, ticket, predictions, change.predictSince)
  if (change.notices.length > 0) await tellPeople(tx, { notices, publicUrl }, ticket, { ...change, n })
  if (change.event) await tellSystems(tx, id, change.event, change.story, change.origin)
}

/** Alarms that it has seen are its own, also when it is over. */
async function noteAlarms(tx: Transaction, id: string): Promise<void> {
  await tx`
    insert into ticket_alarms (incarnation, n, ticket)
    select a.incarnation, a.n, t.id from tickets t join alarms a on a.incarnation = t.incarnation and a.rule = t.rule and a.n >= t.alarm
    where t.id = ${id} on conflict do nothing`
}

/** The twin decides it, beside other repairs of the device; one that is gone is asked nothing. */
async function askForMaintenance(tx: Transaction, { id, tenant, incarnation }: Ticket, n: number, until: number | null): Promise<void> {
  const asked: MaintenanceAsk = { until, by: id, ticket: true }
  await tx`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select md5(${`maintenance ${id} ${n}`})::uuid, tenant, incarnation, incarnation % 16, 'maintenance', ${JSON.stringify(asked)}
    from devices where incarnation = ${incarnation} and tenant = ${tenant} for key share
    on conflict (id) do nothing`
}

/** A model that cannot be asked is as one that failed: the ticket says so, and goes on. */
async function askForPrediction(
  tx: Transaction,
  ticket: Ticket,
  predictions: TicketPredictions<Transaction>,
  since: number | undefined,
): Promise<void> {
  const { id, tenant, incarnation, plan } = ticket
  let [asked, problem]: [string | null, string | null] = [null, null]
  try {
    const question = { tenant, incarnation, device: plan.device, model: plan.predict ?? '', requestedBy: id }
    asked = await predictions.request(tx, { ...question, ...(since !== undefined && { since }) })
  } catch (error) {
    if (!(error instanceof CastorError)) throw error
    problem = error.message.slice(0, 300)
  }
  await tx`update tickets set prediction = ${asked}, prediction_problem = ${problem} where id = ${id}`
}

function timeOf(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms)
}
