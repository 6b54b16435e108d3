/** What REST needs of the outside for webhooks: infra/postgres/webhooks.ts, infra/postgres/webhook-deliveries.ts, infra/http/outbound.ts. */
import type { Attempt, Breaker, EndpointStatus, StoredAttempt } from '../twin-models/core/delivery.ts'
import type { WebhookSettings } from '../twin-models/schemas/webhook.ts'
import type { IdempotencyClaim, Page } from './ports.ts'
import type { WebhookRow as EventRow } from './webhooks/body.ts'
import type { WebhookRequest } from './webhooks/request.ts'

export const MOST_WEBHOOKS = 100

/** `until`: it was replaced, and signs beside its successor until then. */
export interface WebhookSecret {
  secret: string
  until?: number
}

/** A webhook as stored. Times are epoch milliseconds. */
export interface Webhook extends WebhookSettings {
  id: string
  /** Short and never shown; rises with every webhook. */
  number: number
  status: EndpointStatus
  reason: string | null
  createdAt: number
  updatedAt: number
  /** The newest first. */
  secrets: WebhookSecret[]
  health: Breaker
  /** Events that wait, as far as was counted; `more`: there may be further ones. */
  waiting: { count: number; more: boolean }
  /** Events that were no longer kept when their turn came. */
  missed: number
}

export interface NewWebhook {
  id: string
  tenant: string
  settings: WebhookSettings
  secret: string
}

export type DeliveryStatus = 'delivered' | 'retrying' | 'behind' | 'failed' | 'skipped'

export interface DeliveryRow {
  position: number
  /** Of the event. */
  at: number
  device: string
  type: string
  status: DeliveryStatus
  nextAt: number | null
  endedAt: number | null
  /** The newest last. */
  attempts: StoredAttempt[]
}

export interface DeliveryQuery {
  status: DeliveryStatus | undefined
  type: string | undefined
  device: string | undefined
  page: Page<number>
}

/** Those that may be sent again all at once. */
export type EndedStatus = Exclude<DeliveryStatus, 'retrying' | 'behind'>

export interface Webhooks {
  /**
   * It begins with what is committed after it. 'too-many': the tenant has MOST_WEBHOOKS. With a claim, what is answered is stored under its key;
   * 'claimed': the key is taken. Nothing was changed then.
   */
  insert(
    webhook: NewWebhook,
    once?: { claim: IdempotencyClaim; responseOf: (row: Webhook) => string },
  ): Promise<Webhook | 'too-many' | 'claimed'>
  find(tenant: string, id: string): Promise<Webhook | undefined>
  /** Newest first. */
  list(tenant: string, page: Page<number>): Promise<Webhook[]>
  /** Under its row's lock. Undefined: there is none. */
  update(tenant: string, id: string, change: (row: Webhook) => WebhookSettings): Promise<Webhook | undefined>
  /** False: there is none. */
  remove(tenant: string, id: string): Promise<boolean>
  /** Only one that is active, or paused already. Undefined: there is none; as it is now, else. */
  pause(tenant: string, id: string): Promise<Webhook | undefined>
  /** Active, with health as of a new one. */
  resume(tenant: string, id: string): Promise<Webhook | undefined>
  /** The secret before signs too, until then. */
  rotate(tenant: string, id: string, secret: string, oldUntil: number): Promise<Webhook | undefined>

  /** Newest first. */
  deliveries(webhook: number, query: DeliveryQuery): Promise<DeliveryRow[]>
  delivery(webhook: number, position: number): Promise<DeliveryRow | undefined>
  /** Undefined: it is no longer kept. */
  event(delivery: DeliveryRow): Promise<EventRow | undefined>
  /** Due now, with all its attempts before it again. False: it is not there, or waits behind another. */
  resend(webhook: number, position: number): Promise<boolean>
  /** A bounded number of them; those whose event is no longer kept are left. */
  resendAll(webhook: number, which: { status: EndedStatus; since: number }): Promise<{ resent: number; more: boolean }>
}

export interface WebhookSender {
  /** Why nothing is ever sent to this URL, as far as it tells by itself. */
  refusal(url: string): string | undefined
  /** One request, now. It never rejects: what went wrong is told. */
  post(request: WebhookRequest): Promise<Attempt>
}
