/** What delivering webhooks needs of the store (infra/postgres/webhook-*.ts) and of the network (infra/http/outbound.ts). */
import type { Attempt, Breaker, EndpointStatus, Outcome } from '../../twin-models/core/delivery.ts'
import type { WebhookAuth } from '../../twin-models/schemas/webhook.ts'
import type { Form, WebhookRow } from './body.ts'

/** An event of the outbox. */
export interface EventRow extends WebhookRow {
  incarnation: number
}

/** An endpoint as the side that delivers needs it. */
export interface Endpoint {
  /** Short, and never shown: it stands with every event. */
  number: number
  id: string
  tenant: string
  url: string
  /** Names of the catalogue; `*` is all. */
  types: string[]
  filter: string | null
  /** By which the receiver speaks of tickets. */
  system: string | null
  form: Form
  headers: { [name: string]: string }
  auth: WebhookAuth | null
  ordered: boolean
  perSecond: number
  atOnce: number
  /** Those that sign now, the newest first. */
  secrets: string[]
  status: EndpointStatus
  /** Every event up to it is settled, or stands with the deliveries. */
  position: number
  health: Breaker
}

/** One attempt, and what it means. `startedAt` is epoch ms. `isProbe`: it was allowed as a probe only. */
export interface Tried {
  startedAt: number
  attempt: Attempt
  outcome: Outcome
  isProbe?: boolean
}

/** What became of one delivery now. */
export interface Settled {
  position: number
  /** Of the event, epoch ms. */
  at: number
  incarnation: number
  device: string
  type: string
  /** Absent: it waits behind another of its device. */
  tried?: Tried
}

export interface Settlement {
  number: number
  /** All up to it is settled by this. Absent: it stays. */
  position?: number
  settled: Settled[]
  /** Further events that were no longer kept. */
  missed?: number
}

/** Of the dispatcher. */
export interface DispatchStore {
  endpoints(): Promise<Endpoint[]>
  /** In one transaction, by who leads: for whom each of the next events is. Gives those that were read, with their endpoints. */
  fanOut(match: Match): Promise<FannedOut>
  /** What the endpoint wants of (after, upTo], in order, as much as is read at once; all of it up to `readTo`. */
  events(number: number, after: number, upTo: number): Promise<{ wanted: WantedEvent[]; readTo: number }>
  /** Devices with deliveries that have not ended, and how many these are; both counted up to their limits. */
  blocked(number: number, most: { devices: number; deliveries: number }): Promise<{ devices: number[]; deliveries: number }>
  settle(settlement: Settlement, now: number): Promise<Pick<Endpoint, 'status' | 'health'> | undefined>
}

export type Match = (rows: EventRow[], endpoints: Endpoint[]) => Promise<Map<number, number[]>>

export interface FannedOut {
  /** (from, position] was looked at. */
  from: number
  position: number
  more: boolean
  /** Those that somebody wants. */
  events: Array<{ row: EventRow; endpoints: number[] }>
}

/** `row` is null where it is no longer kept. */
export interface WantedEvent {
  position: number
  row: EventRow | null
}

/** Signs, sends, and says what came of it. Never throws. */
export type Try = (endpoint: Endpoint, row: EventRow) => Promise<Tried>
