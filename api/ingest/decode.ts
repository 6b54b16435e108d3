/**
 * DECODE: from the bytes of one accepted message to readings, a device event, a hello, a report or a word on what was asked, with normalised times. Pure:
 * the same message and model always give the same. It never throws: what is wrong becomes a problem, and so a dead letter and a word on `errors`.
 *
 *   bytes → text → JSON → telemetry | SenML | event | hello | report | response | update status, by topic and content type
 *
 * A message with one bad value keeps the good ones. Each reason stands in reasons.ts; docs/protocol.md is the device's side of this.
 */
import { isUtf8 } from 'node:buffer'
import type { Firmware, Health, JsonObject, PresenceStatus, Reading, Rejections, Value } from '../../twin-models/core/types.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { addProblem, type ClockDoubts, type Draft, MAX_VALUES, type Problem, shown } from './decoding/draft.ts'
import { decodeEvent } from './decoding/event.ts'
import { decodeHello } from './decoding/hello.ts'
import { brokenJson, duplicateNames, mayHaveDuplicates } from './decoding/json-scan.ts'
import { decodeReported } from './decoding/reported.ts'
import { decodeResponse, type Response } from './decoding/response.ts'
import { decodeSenml } from './decoding/senml.ts'
import { decodeTelemetry } from './decoding/telemetry.ts'
import { decodeUpdateStatus, type UpdateStatus } from './decoding/update-status.ts'
import type { Message } from './log.ts'

export { type ClockDoubts, MAX_PROBLEMS, type Problem } from './decoding/draft.ts'

/** Larger payloads are cut by the bridge. */
export const MAX_PAYLOAD_BYTES = 256 * 1024

export interface Decoded {
  /** What the message says, in its order: one part for each element of an array, one for any other message. */
  readonly parts: readonly Part[]
  /** At most MAX_PROBLEMS of them. */
  readonly problems: readonly Problem[]
  /** All of them. */
  readonly problemCount: number
  /** Null when all times could be believed. */
  readonly clock: ClockDoubts | null
  /** The newest time by the device's own clock, as it was told; null when it told none. */
  readonly ownTime: number | null
}

export interface Part {
  /** The device's own id of it. */
  id?: string
  /** What `message_ids` remembers of it: it counts once. Absent where its readings are known by their own time, or cannot be known at all. */
  digest?: string
  readings: Reading[]
  hello?: Hello
  event?: DeviceEvent
  report?: Report
  response?: Response
  update?: UpdateStatus
}

export interface Hello {
  status: Exclude<PresenceStatus, 'never'>
  firmware?: Firmware
  health?: Health
}

export interface DeviceEvent {
  name: string
  ts: number
  data: Value
}

/** What the device says it is configured as: a merge patch. */
export interface Report {
  ts: number
  state: JsonObject
  /** The desired version that it answers. */
  version?: number
  rejected?: Rejections
}

/** `device` is the sender's id: SenML may put it before the names. */
export function decode(message: Message, model: DeviceModel, device: string): Decoded {
  const draft = draftOf(message, model, device)
  switch (message.kind) {
    case 'telemetry':
      return telemetry(draft)
    case 'event':
      decodeJson(draft, decodeEvent)
      return draft
    case 'presence':
    case 'will':
      decodeJson(draft, decodeHello)
      return draft
    case 'reported':
      decodeJson(draft, decodeReported)
      return draft
    case 'response':
      decodeJson(draft, decodeResponse)
      return draft
    case 'update':
      decodeJson(draft, decodeUpdateStatus)
      return draft
    case 'unknown':
      addProblem(draft, 'unknown-topic', '', `nothing is known of the topic ${shown(message.name ?? '')}`)
      return draft
    // Whatever stands in a `get`, it asks the same.
    case 'get':
    case 'connect':
    case 'disconnect':
      return draft
    // A bridge that is newer than this processor wrote it.
    default:
      addProblem(draft, 'unknown-topic', '', `this processor does not know messages of the kind ${shown(message.kind)}`)
      return draft
  }
}

function draftOf(message: Message, model: DeviceModel, device: string): Draft<Part> {
  const nothing = { parts: [], problems: [], problemCount: 0, clock: null, setBackMs: 0, ownTime: null, values: 0 }
  return { message, model, device, ...nothing }
}

function telemetry(draft: Draft<Part>): Decoded {
  const { message, model, device } = draft
  const isList = isSenml(message.contentType)
  const read = isList ? decodeSenml : decodeTelemetry
  decodeJson(draft, read)
  if (draft.values > MAX_VALUES) return tooManyValues(draft)
  const setBackMs = draft.clock?.leadMs ?? 0
  if (setBackMs === 0 || !(isList || draft.parts.length > 1)) return draft
  // Several times of a clock that runs ahead: replaced one by one they would all be the same. They keep their distances.
  const again = { ...draftOf(message, model, device), setBackMs }
  decodeJson(again, read)
  return again
}

function decodeJson(draft: Draft<Part>, decodeKind: (draft: Draft<Part>, json: Value) => undefined): undefined {
  const { payload, size, contentType } = draft.message
  if (size > payload.length || size > MAX_PAYLOAD_BYTES) {
    return addProblem(draft, 'too-large', '', `the payload has ${size} bytes, at most ${MAX_PAYLOAD_BYTES} are taken`)
  }
  if (contentType !== undefined && !isSupported(contentType)) {
    return addProblem(draft, 'unsupported-content-type', '', `${shown(contentType)} is not taken: send application/json`)
  }
  const text = textOf(payload)
  if (text === undefined) return addProblem(draft, 'invalid-utf8', '', 'the payload is not UTF-8')
  let json: Value
  try {
    json = JSON.parse(text)
  } catch {
    const { reason, detail } = brokenJson(text)
    return addProblem(draft, reason, '', detail)
  }
  if (mayHaveDuplicates(text, json)) {
    for (const path of duplicateNames(text)) addProblem(draft, 'duplicate-name', path, 'the name stands twice; the last one counts')
  }
  decodeKind(draft, json)
}

/** Undefined when it is not UTF-8. */
function textOf(payload: Uint8Array): string | undefined {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const text = bytes.toString('utf8')
  // What is not UTF-8 became U+FFFD: only a text with that needs a second look.
  return text.includes('\ufffd') && !isUtf8(bytes) ? undefined : text
}

function tooManyValues({ message, model, device, values }: Draft<Part>): Decoded {
  const draft = { ...draftOf(message, model, device), values }
  addProblem(draft, 'too-many-values', '', `more than ${MAX_VALUES} values or elements: split the message`)
  return draft
}

function isSenml(contentType: string | undefined): boolean {
  return contentType !== undefined && mediaType(contentType) === 'application/senml+json'
}

function isSupported(contentType: string): boolean {
  const type = mediaType(contentType)
  return type === 'application/json' || type === 'application/senml+json'
}

/** Without parameters (RFC 9110 §8.3.1). */
function mediaType(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase()
}
