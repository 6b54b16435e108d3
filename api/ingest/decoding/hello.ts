/** The device's own word on its presence: `{status, model?, firmware?, health?}`, as a hello or as its last will. */
import { isObject } from '../../../twin-models/core/plain.ts'
import type { Firmware, Health, Value } from '../../../twin-models/core/types.ts'
import type { Hello, Part } from '../decode.ts'
import { messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { textProblem } from './value.ts'

const MAX_VERSION = 128
const MAX_ERRORS = 20
const MAX_ERROR_TEXT = 256
const FIELDS = new Set(['id', 'ts', 'ageMs', 'status', 'model', 'firmware', 'health'])

/** What is wrong with firmware or health is left out; the rest counts. */
export function decodeHello(draft: Draft<Part>, json: Value): undefined {
  if (!isObject(json)) return addProblem(draft, 'wrong-type', '', 'must be an object: {"status": "online"}')
  const id = idOf(draft, json.id, '/id')
  if (id === null) return
  const { status, model } = json
  if (status !== 'online' && status !== 'offline') return addProblem(draft, 'wrong-type', '/status', 'must be "online" or "offline"', id)
  for (const field in json) {
    if (!FIELDS.has(field)) addProblem(draft, 'unknown-field', pointer(field), `a hello has no ${shown(field)}`, id)
  }
  if (model !== undefined && model !== draft.model.name) {
    addProblem(draft, 'wrong-model', '/model', `the device is registered as ${draft.model.name}`, id)
  }
  const firmware = json.firmware === undefined ? undefined : firmwareOf(draft, json.firmware)
  const health = json.health === undefined ? undefined : healthOf(draft, json.health)
  const hello: Hello = { status, ...(firmware && { firmware }), ...(health && { health }) }
  draft.parts.push(id === undefined ? { readings: [], hello } : { id, digest: messageDigest(draft.message.kind, id), readings: [], hello })
}

function firmwareOf(draft: Draft<Part>, json: Value): Firmware | undefined {
  if (!isObject(json) || !isText(json.version, MAX_VERSION)) {
    addProblem(draft, 'wrong-type', '/firmware', `must be {"version": text of at most ${MAX_VERSION}, "sha256": 64 hexadecimal digits}`)
    return undefined
  }
  const { version, sha256 } = json
  if (sha256 === undefined) return { version }
  if (typeof sha256 === 'string' && /^[0-9a-fA-F]{64}$/.test(sha256)) return { version, sha256: sha256.toLowerCase() }
  addProblem(draft, 'wrong-type', '/firmware/sha256', 'must be 64 hexadecimal digits')
  return { version }
}

function healthOf(draft: Draft<Part>, json: Value): Health | undefined {
  if (!isObject(json) || typeof json.ok !== 'boolean') {
    addProblem(draft, 'wrong-type', '/health', 'must be {"ok": true or false, "battery": number, "rssi": number, "errors": [text]}')
    return undefined
  }
  const health: Health = { ok: json.ok }
  const battery = numberOf(draft, json.battery, '/health/battery')
  const rssi = numberOf(draft, json.rssi, '/health/rssi')
  if (battery !== undefined) health.battery = battery
  if (rssi !== undefined) health.rssi = rssi
  if (json.errors === undefined) return health
  if (Array.isArray(json.errors) && json.errors.length <= MAX_ERRORS && json.errors.every((text) => isText(text, MAX_ERROR_TEXT))) {
    health.errors = json.errors as string[]
  } else addProblem(draft, 'wrong-type', '/health/errors', `must be a list of at most ${MAX_ERRORS} texts of at most ${MAX_ERROR_TEXT}`)
  return health
}

function numberOf(draft: Draft<Part>, value: Value | undefined, path: string): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isFinite(value)) return value
  addProblem(draft, typeof value === 'number' ? 'not-finite' : 'wrong-type', path, 'must be a number')
  return undefined
}

function isText(value: Value | undefined, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength && textProblem(value) === undefined
}
