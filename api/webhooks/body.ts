/**
 * The body of a webhook: an outbox row as Standard Webhooks JSON, or as a CloudEvent 1.0 in structured mode. Made anew for each attempt from
 * what is stored, and the same bytes each time: all times in it are the event's.
 */
import { isoTime } from '../../twin-models/core/times.ts'
import { EVENT_TYPES, type EventTypeName, eventTypeOf } from '../../twin-models/webhook-events/catalogue.ts'
import { eventJson } from '../http/event-json.ts'

/** A row of the outbox. */
export interface WebhookRow {
  position: number
  /** Epoch ms. */
  at: number
  tenant: string
  /** Empty: the event is of no device. */
  device: string
  /** Null: no twin decided it. */
  revision: number | null
  kind: string
  /** JSON, without kind and cause. */
  event: string
  /** JSON. */
  cause: string
}

export interface WebhookEvent {
  /** The same for all endpoints and all attempts. No dots: the signature is over `id.timestamp.body`. */
  id: string
  type: EventTypeName
  tenant: string
  /** Empty: the event is of no device. */
  device: string
  /** Epoch ms. */
  at: number
  /** JSON. */
  data: string
}

/** Of an event of the outbox, and back (`positionOf`). */
export function eventId(position: number): string {
  return `evt_${position}`
}

export const EVENT_ID = /^evt_\d{1,15}$/

/** `id` must be as EVENT_ID has it. */
export function positionOf(id: string): number {
  return Number(id.slice('evt_'.length))
}

export const FORMS = ['standard', 'cloudevents'] as const
export type Form = (typeof FORMS)[number]

export function webhookEvent(row: WebhookRow): WebhookEvent {
  const { position, tenant, device, at } = row
  const owner = JSON.stringify({ tenant, ...(device !== '' && { device }) })
  const data = `${owner.slice(0, -1)},${eventJson({ ...row, time: at }).slice(1)}`
  return { id: eventId(position), type: eventTypeOf(row), tenant, device, at, data }
}

/** The example of the catalogue, as if it were the tenant's. Undefined: there is no such type. */
export function exampleEvent(type: string, { id, tenant, at }: { id: string; tenant: string; at: number }): WebhookEvent | undefined {
  const found = EVENT_TYPES.find((known) => known.type === type)
  if (!found) return undefined
  const { device = '' } = found.example
  return { id, type: found.type, tenant, device: String(device), at, data: JSON.stringify({ ...found.example, tenant }) }
}

export function webhookBody(event: WebhookEvent, form: Form): { contentType: string; body: string } {
  const { id, type, tenant, device, at, data } = event
  const time = isoTime(at)
  if (form === 'standard') return { contentType: 'application/json', body: `{"type":"${type}","timestamp":"${time}","data":${data}}` }
  const head = JSON.stringify({
    specversion: '1.0',
    id,
    // With the id, what makes an event one of its kind in the world of its receiver.
    source: `/castor/${tenant}`,
    type,
    ...(device !== '' && { subject: device }),
    time,
    datacontenttype: 'application/json',
  })
  return { contentType: 'application/cloudevents+json', body: `${head.slice(0, -1)},"data":${data}}` }
}
