/**
 * The topics of the device protocol (docs/protocol.md), and who may use which. A device has the topics below
 * `castor/v1/{tenant}/{device}/` and no others, in either direction; tenant and device come from its credential, never from the topic.
 */
import { ID_PATTERN, isId, isTenant, NAME_PATTERN } from '../../twin-models/ids.ts'
import type { MessageKind } from '../ingest/log.ts'

/** What a topic of the device's own means. */
export interface Uplink {
  kind: MessageKind
  /** Event name, id of the command or update, or of an unknown topic what stands below the device. */
  name?: string
  contentType?: string
}

export const SENML = 'application/senml+json'

/** Longer topics mean nothing to us, and their names are not worth keeping. */
const MAX_UNKNOWN_NAME = 256
/** First levels of what is sent down. `children` is a gateway's. */
const DOWN = new Set(['errors', 'desired', 'commands', 'updates', 'children', '#', '+'])
const EVENTS = 'events/'
const COMMANDS = 'commands/'
const RESPONSE = '/response'
const UPDATES = 'updates/'
const STATUS = '/status'

export function topicPrefix(tenant: string, device: string): string {
  return `castor/v1/${tenant}/${device}/`
}

/** User name of MQTT: `tenant/device`. */
export function parseUserName(text: string | undefined): { tenant: string; device: string } | undefined {
  if (text === undefined) return undefined
  const at = text.indexOf('/')
  const [tenant, device] = [text.slice(0, at), text.slice(at + 1)]
  return at > 0 && isTenant(tenant) && isId(device) ? { tenant, device } : undefined
}

/**
 * Undefined when the topic is not the device's own: a breach of rights. What is its own but means nothing is of kind `unknown`: it is
 * acknowledged, else the device would send it for ever, and becomes a dead letter.
 */
export function uplinkOf(topic: string, prefix: string): Uplink | undefined {
  if (!topic.startsWith(prefix)) return undefined
  const rest = topic.slice(prefix.length)
  // MQTT-1.5.3-1 and -2: ill-formed UTF-8 (which the parser replaces) and U+0000 end the connection.
  if (rest.includes('\0') || rest.includes('\ufffd')) return undefined
  switch (rest) {
    case 'telemetry':
      return { kind: 'telemetry' }
    case 'telemetry/senml':
      return { kind: 'telemetry', contentType: SENML }
    case 'presence':
      return { kind: 'presence' }
    case 'reported':
      return { kind: 'reported' }
    case 'get':
      return { kind: 'get' }
  }
  const event = rest.startsWith(EVENTS) ? rest.slice(EVENTS.length) : ''
  if (NAME_PATTERN.test(event)) return { kind: 'event', name: event }
  const command = between(rest, COMMANDS, RESPONSE)
  if (ID_PATTERN.test(command)) return { kind: 'response', name: command }
  const update = between(rest, UPDATES, STATUS)
  if (ID_PATTERN.test(update)) return { kind: 'update', name: update }
  return { kind: 'unknown', name: wellFormed(rest.slice(0, MAX_UNKNOWN_NAME)) }
}

/** '' when it does not stand between these. */
function between(rest: string, before: string, after: string): string {
  return rest.startsWith(before) && rest.endsWith(after) ? rest.slice(before.length, -after.length) : ''
}

/** A cut may leave half of a surrogate pair. */
function wellFormed(text: string): string {
  return text.toWellFormed()
}

/** Filters below the device's own down topics; wildcards may cover its up topics too, which are never echoed. */
export function maySubscribe(filter: string, prefix: string): boolean {
  if (!filter.startsWith(prefix)) return false
  const [first] = filter.slice(prefix.length).split('/', 1)
  return DOWN.has(first!)
}

/** MQTT 3.1.1 §4.7. The filter is a valid one. */
export function filterCovers(filter: string, topic: string): boolean {
  if (filter === topic) return true
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true
    if (i >= levels.length || (wanted[i] !== '+' && wanted[i] !== levels[i])) return false
  }
  return wanted.length === levels.length
}
