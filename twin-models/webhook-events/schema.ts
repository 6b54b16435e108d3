/**
 * What the JSON Schemas of the event catalogue are made of (draft 2020-12). They say what is always there and allow more: the catalogue only
 * grows, so receivers ignore members and words that they do not know.
 */
import type { JsonObject } from '../core/types.ts'

export interface EventType {
  /** As in the body and in an endpoint's `types`. */
  type: string
  description: string
  /** The kinds of outbox rows that it is made of. */
  kinds: string[]
  /** Of `data`. */
  schema: JsonObject
  /** A complete `data`. */
  example: JsonObject
}

/** By name; one that ends in `?` may be absent. */
export type Fields = { [name: string]: JsonObject }

export const text: JsonObject = { type: 'string' }
export const texts: JsonObject = { type: 'array', items: text }
export const whole: JsonObject = { type: 'integer', minimum: 0 }
export const share: JsonObject = { type: 'number', minimum: 0, maximum: 1 }
export const flag: JsonObject = { type: 'boolean' }
export const anyObject: JsonObject = { type: 'object' }
export const anything: JsonObject = { description: 'Any JSON value.' }
export const time: JsonObject = { type: 'string', format: 'date-time', description: 'RFC 3339, UTC, milliseconds.' }
/** Of words that more may join. */
export const word = (...examples: string[]): JsonObject => ({ type: 'string', examples })
/** Of words that none will join. */
export const oneOf = (...words: string[]): JsonObject => ({ enum: words })
export const about = (schema: JsonObject, description: string): JsonObject => ({ ...schema, description })
export const orNull = (schema: JsonObject): JsonObject => ({ anyOf: [schema, { type: 'null' }] })
export const listOf = (items: JsonObject): JsonObject => ({ type: 'array', items })
export const mapOf = (values: JsonObject): JsonObject => ({ type: 'object', additionalProperties: values })

export function object(fields: Fields): { type: 'object'; required: string[]; properties: JsonObject } {
  const names = Object.keys(fields)
  return {
    type: 'object',
    required: names.filter((name) => !name.endsWith('?')),
    properties: Object.fromEntries(names.map((name) => [name.replace('?', ''), fields[name]!])),
  }
}

/** With what every event has. */
export function dataSchema(type: string, description: string, kind: JsonObject, fields: Fields, more: JsonObject = {}): JsonObject {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: type,
    description,
    ...object({ tenant: text, time: about(time, 'When it was decided or noticed.'), kind, at: MOMENT, ...fields, cause: CAUSE }),
    ...more,
  }
}

/** What all events of a device have. */
export const OF_DEVICE: Fields = { device: about(text, 'Id of the device.') }
/** What all decisions of a twin have. */
export const OF_TWIN: Fields = { ...OF_DEVICE, revision: about(whole, 'The decision of the twin: several events may be of one.') }

const MOMENT = about(time, 'The moment it is of: when the message that caused it was received, say.')
const CAUSE: JsonObject = {
  ...object({
    by: word('message', 'request', 'lane', 'timer', 'delivery', 'rollout', 'rule', 'prediction', 'ticket'),
    'messageId?': text,
    'request?': text,
    'who?': about(text, 'Name of the API key, or of the rule.'),
  }),
  description:
    'A message, a request over REST, silence that was noticed (lane), the twin’s own timer, the delivery of a webhook, a rollout, a rule, a prediction, or a ticket.',
}
