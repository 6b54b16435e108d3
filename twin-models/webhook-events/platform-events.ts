/**
 * Events that no twin decides: the registry, the processor, the delivery of webhooks, rollouts (rollout-events.ts), rules (rule-events.ts) and
 * predictions (prediction-events.ts) write their outbox rows. `revision` of such a row is
 * null; `event` holds the fields below but kind, with `at` in epoch milliseconds.
 */
import type { JsonObject } from '../core/types.ts'
import type { PredictionEvent } from './prediction-events.ts'
import type { RolloutEvent } from './rollout-events.ts'
import type { RuleEvent } from './rule-events.ts'
import { about, anyObject, dataSchema, type EventType, type Fields, OF_DEVICE, text, whole, word } from './schema.ts'
import type { TicketEvent } from './ticket-events.ts'

export type PlatformEvent =
  | { kind: 'registered'; at: number; model: string; modelVersion: string; attributes: JsonObject }
  | { kind: 'removed'; at: number; model: string; modelVersion: string; attributes: JsonObject }
  /** Of one device, for one reason, in one tick of the processor: the first of `count`. `at` is when it was received. */
  | { kind: 'dead-letter'; at: number; reason: string; detail: string; topic: string; path?: string; messageId?: string; count: number }
  /** Its row names no device (''). `host`: of its URL, whose path and query may be secret. */
  | { kind: 'webhook-disabled'; at: number; webhook: string; host: string; reason: DisabledReason; detail: string }
  /** Its row names no device (''). `host`: of its URL, where it has one. */
  | {
      kind: 'target-failed'
      at: number
      target: string
      targetKind: 'webhook' | 'email'
      host?: string
      reason: TargetFailure
      detail: string
    }
  | RolloutEvent
  | RuleEvent
  | PredictionEvent
  | TicketEvent

/** It answered 410; nothing but failures for five days; an operator stopped it. */
export type DisabledReason = 'gone' | 'failing' | 'stopped'

const model: Fields = { model: about(text, 'Name of its twin model.'), modelVersion: text }

/** It answered 410; a message was tried for three days in vain; its mail server refused one for good. */
export type TargetFailure = 'gone' | 'failing' | 'refused'

export const deviceCreated = platformEvent('device.created', 'registered', {
  description: 'A device was registered.',
  fields: { ...OF_DEVICE, ...model, attributes: anyObject },
  example: { device: 't-1', model: 'thermostat', modelVersion: '1.0.0', attributes: { site: 'north' } },
  cause: { by: 'request', who: 'admin' },
})

export const deviceRemoved = platformEvent('device.removed', 'removed', {
  description: 'A device was removed, with its twin.',
  fields: { ...OF_DEVICE, ...model, attributes: anyObject },
  example: { device: 't-1', model: 'thermostat', modelVersion: '1.0.0', attributes: { site: 'north' } },
  cause: { by: 'request', who: 'admin' },
})

export const deadLetterCreated = platformEvent('deadletter.created', 'dead-letter', {
  description: 'A message of a device, or a part of one, could not be taken. Many of one device and reason at a time are one event.',
  fields: {
    ...OF_DEVICE,
    reason: word('invalid-json', 'wrong-type', 'unknown-property'),
    detail: text,
    topic: text,
    'path?': about(text, 'JSON pointer into the payload, where known.'),
    'messageId?': text,
    count: about(whole, 'So many; the other fields are those of the first.'),
  },
  example: {
    device: 't-1',
    reason: 'wrong-type',
    detail: 'must be a number',
    topic: 'castor/v1/demo/t-1/telemetry',
    path: '/temperature',
    count: 1,
  },
  cause: { by: 'message' },
})

export const webhookDisabled = platformEvent('webhook.disabled', 'webhook-disabled', {
  description: 'A webhook is no longer sent to: its receiver is gone, failed for five days, or too much waits for it.',
  fields: {
    webhook: about(text, 'Its id.'),
    host: about(text, 'Of its URL.'),
    reason: word('gone', 'failing', 'stopped'),
    detail: about(text, 'In words.'),
  },
  example: {
    webhook: 'wh_5f0c2a9e',
    host: 'erp.example.com',
    reason: 'failing',
    detail: '412 attempts failed and none succeeded for five days; the last one: It answered 500',
  },
  cause: { by: 'delivery' },
})

export const targetFailed = platformEvent('target.failed', 'target-failed', {
  description:
    'Somebody who is to be told could not be: a message to a target has failed for good. Not told again before one arrives there.',
  fields: {
    target: about(text, 'Its name.'),
    targetKind: word('webhook', 'email'),
    'host?': about(text, 'Of its URL.'),
    reason: word('gone', 'failing', 'refused'),
    detail: about(text, 'In words.'),
  },
  example: { target: 'ops', targetKind: 'webhook', host: 'pager.example.com', reason: 'failing', detail: 'It answered 500' },
  cause: { by: 'delivery' },
})

export function platformEvent<Type extends string, Kind extends PlatformEvent['kind']>(
  type: Type,
  kind: Kind,
  { description, fields, example, cause }: { description: string; fields: Fields; example: JsonObject; cause: JsonObject },
): EventType & { type: Type; kinds: Kind[] } {
  const { device, ...rest } = example
  const when = { time: '2026-11-26T21:31:17.073Z', kind, at: '2026-11-26T21:31:17.072Z' }
  return {
    type,
    description,
    kinds: [kind],
    schema: dataSchema(type, description, { const: kind }, fields),
    example: { tenant: 'demo', ...(device !== undefined && { device }), ...when, ...rest, cause },
  }
}
