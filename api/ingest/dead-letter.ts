/** What becomes of a message, or a part of one, that cannot be taken: a dead letter with the reason, and a word to the device. */
import type { Problem } from './decode.ts'
import type { Device } from './device.ts'
import { NO_STREAM } from './log.ts'
import type { LogMessage } from './log-reader.ts'
import type { Work } from './work.ts'

/** Of a payload that was cut by the bridge only this much is here anyway; larger ones are kept whole up to the limit of a message. */
const RAW_BYTES = 256 * 1024
/** Words to one device in a minute (docs/protocol.md). What comes after is counted, and the count goes with the next word. */
const ERRORS_PER_MINUTE = 10

/** One dead letter a message, however many problems it has; the rest are named in its detail. */
export function addDeadLetter(work: Work, device: Device, message: LogMessage, problems: readonly Problem[], problemCount: number): void {
  const [first] = problems
  if (first === undefined) return
  const { tenant, device: id, incarnation } = device
  const topic = topicOf(device, message)
  work.changes.deadLetters.push({
    at: message.receivedAt,
    tenant,
    device: id,
    incarnation,
    topic,
    reason: first.reason,
    path: first.path,
    detail: detailOf(problems, problemCount),
    messageId: first.messageId ?? message.id ?? null,
    size: message.size,
    raw: message.payload.subarray(0, RAW_BYTES),
  })
  sayError(work, device, {
    code: first.reason,
    detail: first.detail,
    path: first.path,
    topic,
    id: first.messageId ?? message.id,
    receivedAt: message.receivedAt,
  })
}

function detailOf(problems: readonly Problem[], count: number): string {
  const lines = problems.map(({ path, detail }) => (path === '' ? detail : `${path}: ${detail}`))
  if (count > problems.length) lines.push(`and ${count - problems.length} more`)
  return lines.join('; ')
}

/** A connected device is told; the others find it when they ask for what is pending. */
function sayError(work: Work, device: Device, { receivedAt, ...error }: { [key: string]: unknown; receivedAt: number }): void {
  const minute = Math.floor(receivedAt / 60_000)
  if (device.errors.minute !== minute) device.errors = { minute, said: 0, unsaid: device.errors.unsaid }
  if (device.errors.said >= ERRORS_PER_MINUTE) {
    device.errors.unsaid++
    return
  }
  const count = 1 + device.errors.unsaid
  device.errors.said++
  device.errors.unsaid = 0
  const body = JSON.stringify({ ...error, receivedAt: new Date(receivedAt).toISOString(), count })
  work.changes.errors.push({ stream: device.connection?.[1] ?? NO_STREAM, incarnation: device.incarnation, body })
}

function topicOf({ tenant, device }: Device, { kind, name, contentType }: LogMessage): string {
  if (kind === 'telemetry' && contentType?.startsWith('application/senml+json')) return `castor/v1/${tenant}/${device}/telemetry/senml`
  return `castor/v1/${tenant}/${device}/${restOf(kind, name)}`
}

function restOf(kind: LogMessage['kind'], name = ''): string {
  switch (kind) {
    case 'event':
      return `events/${name}`
    case 'response':
      return `commands/${name}/response`
    case 'update':
      return `updates/${name}/status`
    case 'will':
      return 'presence'
    case 'unknown':
      return name
  }
  return kind
}
