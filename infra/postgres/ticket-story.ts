/** What a ticket tells of itself: the lines of its story, and events for other systems, which carry the whole ticket. */
import { shownTicket } from '../../api/ticket-shown.ts'
import type { TicketChange, TicketOrigin, TicketStory } from '../../twin-models/core/ticket-types.ts'
import type { TicketEvent } from '../../twin-models/webhook-events/ticket-events.ts'
import type { Transaction } from './connect.ts'
import { ticketRows } from './ticket-rows.ts'

/** Of one event. */
const MOST_WORDS = 2_000
/** Whatever is said of a ticket for ever, and by whom: from there on nothing is written. */
const MOST_LINES = 5_000
const BY_ITSELF: TicketEvent['origin'] = { via: 'castor' }

/** The ticket's row is locked: lines are numbered in order. */
export async function writeStory(tx: Transaction, id: string, story: TicketStory[]): Promise<void> {
  if (story.length === 0) return
  await tx`
    insert into ticket_events (ticket, n, at, what, by, via, text)
    select ${id}::uuid, before.n + place, to_timestamp((line ->> 'at')::float8 / 1000), line ->> 'what', line ->> 'by', line ->> 'via', line ->> 'text'
    from (select coalesce(max(n), 0) as n from ticket_events where ticket = ${id}) before,
      json_array_elements(${JSON.stringify(story)}::text::json) with ordinality as lines (line, place)
    where before.n + place <= ${MOST_LINES}`
}

/** In the transaction in which it becomes so. */
export async function tellSystems(
  tx: Transaction,
  id: string,
  event: NonNullable<TicketChange['event']>,
  story: TicketStory[],
  origin: TicketOrigin | undefined,
): Promise<void> {
  const [row] = await ticketRows(tx, tx`t.id = ${id}`, tx``)
  const by = story.find((line) => line.by !== undefined)?.by
  const told: Omit<TicketEvent, 'kind' | 'at'> = {
    ticket: shownTicket(row!),
    what: story.map(({ what }) => what),
    text: story
      .map(({ text }) => text)
      .join(' ')
      .slice(0, MOST_WORDS),
    ...(by !== undefined && { by }),
    origin: origin ? shownOrigin(origin) : BY_ITSELF,
  }
  await tx`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select now(), tenant, incarnation, device, ${`ticket-${event}`},
      (${JSON.stringify(told)}::text::jsonb || jsonb_build_object('at', floor(extract(epoch from now()) * 1000)))::text,
      ${JSON.stringify({ by: 'ticket', ...(by !== undefined && { who: by }) })}
    from tickets where id = ${id}`
}

function shownOrigin({ via, system, messageId }: TicketOrigin): TicketEvent['origin'] {
  return { via, ...(system !== undefined && { system }), ...(messageId !== undefined && { messageId }) }
}
