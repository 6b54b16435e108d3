/**
 * Which endpoints an event is for: its tenant's, those that asked for its type, whose filter the twin meets as it is right after the event, and
 * whose own word it is not.
 * Twins are known as the live stream knows them (api/live/documents.ts), so a filter means the same in both.
 */
import { CastorError } from '../../twin-models/errors.ts'
import { matches } from '../../twin-models/filter/evaluate.ts'
import { type Filter, parseFilter } from '../../twin-models/filter/parse.ts'
import { eventTypeOf, isSubscribed } from '../../twin-models/webhook-events/catalogue.ts'
import type { TicketEvent } from '../../twin-models/webhook-events/ticket-events.ts'
import { Documents } from '../live/documents.ts'
import { decidedEvent } from '../live/live-event.ts'
import type { LiveStore } from '../live/ports.ts'
import type { Models } from '../ports.ts'
import type { Endpoint, EventRow, Match } from './ports.ts'

const TWINS = 10_000
/** Kept as parsed. */
const FILTERS = 10_000
const SCOPE = 0

export function createMatching(store: Pick<LiveStore, 'twins'>, models: Models): Match {
  const documents = new Documents(store, models, TWINS)
  const filters = new Map<string, Filter | undefined>()

  return async (rows, endpoints) => {
    const byTenant = Map.groupBy(endpoints, ({ tenant }) => tenant)
    const filtered = new Set(endpoints.flatMap(({ tenant, filter }) => (filter === null ? [] : [tenant])))
    const concerned = rows.filter(({ tenant }) => filtered.has(tenant))
    // Fresh for each batch: not all that changes a twin is an event.
    await documents.load(
      SCOPE,
      concerned.map(({ incarnation }) => incarnation),
      0,
    )
    const wanted = new Map<number, number[]>()
    for (const row of rows) {
      const document = filtered.has(row.tenant) ? documentAfter(row) : undefined
      const numbers = (byTenant.get(row.tenant) ?? []).filter((endpoint) => isWanted(row, endpoint, document)).map(({ number }) => number)
      if (numbers.length > 0) wanted.set(row.position, numbers)
    }
    documents.trim()
    if (filters.size > FILTERS) filters.clear()
    return wanted
  }

  /** A device that was removed is as its event says. */
  function documentAfter(row: EventRow): object | undefined {
    const after = documents.apply(SCOPE, decidedEvent({ ...row, revision: row.revision ?? 0 }))
    return after ?? (row.kind === 'removed' ? { id: row.device, tenant: row.tenant, ...JSON.parse(row.event) } : undefined)
  }

  function isWanted(row: EventRow, { types, filter, system, position }: Endpoint, document: object | undefined): boolean {
    if (row.position <= position) return false
    if (!isSubscribed(types, eventTypeOf(row))) return false
    if (system !== null && isWordOf(system, row)) return false
    if (filter === null) return true
    const tree = treeOf(filter)
    return tree !== undefined && document !== undefined && matches(tree, document)
  }

  /** It was parsed when it was asked for; one that a later version refuses meets nothing. */
  function treeOf(text: string): Filter | undefined {
    if (!filters.has(text)) filters.set(text, parsed(text))
    return filters.get(text)
  }
}

/** What another system said of a ticket. */
function isWordOf(system: string, { kind, event }: EventRow): boolean {
  return kind.startsWith('ticket-') && (JSON.parse(event) as TicketEvent).origin.system === system
}

function parsed(text: string): Filter | undefined {
  try {
    return parseFilter(text)
  } catch (error) {
    if (error instanceof CastorError) return undefined
    throw error
  }
}
