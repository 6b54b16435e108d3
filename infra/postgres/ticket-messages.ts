/** What people are told of a ticket: messages with its facts, and a link of their own, by which they do something without a credential. */
import { hash, randomBytes } from 'node:crypto'
import type { Ticket, TicketMessage, TicketNotices } from '../../activities/ticket-ports.ts'
import { time } from '../../twin-models/core/markdown.ts'
import { riskWords } from '../../twin-models/core/ticket-risk.ts'
import type { TicketNotice, TicketState, TicketStory } from '../../twin-models/core/ticket-types.ts'
import type { Transaction } from './connect.ts'

/** A message lies about, and what is reopened or passed on is told anew. */
const LINK_DAYS = 14
const TOKEN_BYTES = 32

export interface PeopleParts {
  notices: TicketNotices<Transaction>
  publicUrl: string
}

/** What is told with a step: `at` is when it was decided. */
export interface Told {
  n: number
  state: TicketState
  story: Array<Pick<TicketStory, 'at'>>
  notices: TicketNotice[]
}

export async function tellPeople(tx: Transaction, { notices, publicUrl }: PeopleParts, ticket: Ticket, told: Told): Promise<void> {
  const links = await makeLinks(tx, ticket.id, told.notices)
  await notices.insert(
    tx,
    told.notices.map((notice, i) => messageOf(ticket, told, notice, links[i] === undefined ? [] : [linkTo(publicUrl, links[i])])),
  )
}

/** A token for each who has something to do. It stands in the message alone: here only its hash is kept. */
async function makeLinks(tx: Transaction, id: string, told: TicketNotice[]): Promise<Array<string | undefined>> {
  const tokens = told.map(({ status }) => (status === 'firing' ? randomBytes(TOKEN_BYTES).toString('base64url') : undefined))
  const made = tokens.flatMap((token, i) =>
    token === undefined ? [] : [{ hash: tokenHash(token).toString('hex'), target: told[i]!.target }],
  )
  if (made.length > 0)
    await tx`
      insert into ticket_links (token_hash, ticket, target, expires_at)
      select decode(link.hash, 'hex'), ${id}::uuid, link.target, now() + ${LINK_DAYS}::int * interval '1 day'
      from json_to_recordset(${JSON.stringify(made)}::text::json) as link (hash text, target text)`
  return tokens
}

export function tokenHash(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

function linkTo(publicUrl: string, token: string): TicketMessage['links'][number] {
  return { title: 'Open the ticket', url: `${publicUrl}/t/${token}` }
}

function messageOf(ticket: Ticket, { n, state, story }: Told, notice: TicketNotice, links: TicketMessage['links']): TicketMessage {
  const { id, number, tenant, plan, text } = ticket
  const { severity, assignee, dueAt, relapses, risk } = state
  const facts: Array<[name: string, value: string | undefined]> = [
    ['Ticket', String(number)],
    ['Device', plan.device],
    ['Rule', plan.rule ?? undefined],
    ['Severity', severity],
    ['Opened', time(plan.createdAt)],
    ['To be done by', notice.status === 'firing' ? time(dueAt) : undefined],
    ['Who has it', assignee],
    ['Risk', risk && riskWords(plan.predict ?? '', risk)],
    ['Relapses', relapses === 0 ? undefined : String(relapses)],
  ]
  return {
    ...{ tenant, target: notice.target, key: `ticket:${id}`, step: String(n), since: plan.createdAt, dueAt: story[0]?.at ?? state.since },
    ...{ status: notice.status, severity, device: plan.device, subject: notice.subject },
    text: text === '' || notice.status === 'resolved' ? notice.text : `${notice.text}\n\n${text}`,
    facts: Object.fromEntries(facts.filter((fact): fact is [string, string] => fact[1] !== undefined)),
    links,
  }
}
