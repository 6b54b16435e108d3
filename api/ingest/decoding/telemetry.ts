/** Telemetry in JSON: `{name: value}`, `{id?, ts?, ageMs?, values}`, or an array of these. The hottest loop of decoding. */
import type { Reading, Value } from '../../../twin-models/core/types.ts'
import { NAME_PATTERN } from '../../../twin-models/ids.ts'
import { isPropertyName, isReservedName } from '../../../twin-models/names.ts'
import type { Part } from '../decode.ts'
import { elementDigest, messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, doubtsOf, MAX_VALUES, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { timeOf } from './time.ts'
import { isOfType, valueProblem } from './value.ts'

type Json = { [key: string]: Value }

export function decodeTelemetry(draft: Draft<Part>, json: Value): undefined {
  if (!Array.isArray(json)) return decodeElement(draft, json, '', null)
  if (json.length > MAX_VALUES) {
    draft.values = json.length
    return
  }
  for (let n = 0; n < json.length && draft.values <= MAX_VALUES; n++) decodeElement(draft, json[n] as Value, `/${n}`, n)
  if (json.length > 1) dropDuplicates(draft)
}

/** `index`: its place in an array, null when it is the whole message. */
function decodeElement(draft: Draft<Part>, json: Value, path: string, index: number | null): undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    addProblem(draft, 'wrong-type', path, 'must be an object: {"name": value} or {"ts": …, "values": {"name": value}}')
    return
  }
  const flat = !Object.hasOwn(json, 'values')
  const envelope = flat ? NO_ENVELOPE : (json as Json)
  const id = idOf(draft, envelope.id, `${path}/id`)
  if (id === null) return
  const doubts = doubtsOf(draft)
  const ts = timeOf(draft, envelope.ts, envelope.ageMs, path, id)
  if (Number.isNaN(ts)) return
  const readings: Reading[] = []
  if (flat) {
    if (mixesForms(draft, json, path)) return
    takeValues(draft, readings, json, path, ts, id)
  } else {
    refuseUnknownFields(draft, json, path)
    const values = json.values as Value
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      addProblem(draft, 'wrong-type', `${path}/values`, 'must be an object: {"name": value}', id)
      return
    }
    takeValues(draft, readings, values, `${path}/values`, ts, id)
  }
  draft.parts.push(partOf(draft, readings, id, envelope.id === undefined ? index : null, doubtsOf(draft) > doubts, index))
}

const NO_ENVELOPE: Json = {}

function partOf(
  draft: Draft<Part>,
  readings: Reading[],
  id: string | undefined,
  shared: number | null,
  doubted: boolean,
  index: number | null,
): Part {
  if (id !== undefined) return { id, digest: messageDigest(draft.message.kind, id, shared), readings }
  // Its time of receipt replaced its own, so a repetition would not be known by its time.
  if (doubted) return { digest: elementDigest(draft.message.payload, index), readings }
  return { readings }
}

/** Values one by one: a bad one does not spoil the others. */
function takeValues(draft: Draft<Part>, readings: Reading[], values: Json, path: string, ts: number, id: string | undefined): undefined {
  for (const name in values) {
    if (++draft.values > MAX_VALUES) return
    takeValue(draft, readings, name, values[name] as Value, path, ts, id)
  }
}

/** `where`: the pointer to the value, if it is not at its name below `path`. */
export function takeValue(
  draft: Draft<Part>,
  readings: Reading[],
  name: string,
  value: Value,
  path: string,
  ts: number,
  id: string | undefined,
  where?: string,
): undefined {
  const property = draft.model.properties.get(name)
  if (property === undefined && refusesName(draft, name, path, id, where)) return
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    const problem = valueProblem(value)
    if (problem !== undefined) {
      addProblem(draft, problem.reason, `${where ?? path + pointer(name)}${problem.path}`, problem.detail, id)
      return
    }
  }
  if (property !== undefined) {
    const misfit = property.problemOf(value)
    if (misfit !== undefined) {
      const reason = isOfType(property.type, value) ? 'invalid-value' : 'wrong-type'
      addProblem(draft, reason, where ?? path + pointer(name), `${name} ${misfit}`, id)
      return
    }
  }
  const { receivedAt } = draft.message
  readings.push(id === undefined ? { name, value, ts, receivedAt } : { name, value, ts, receivedAt, messageId: id })
}

function refusesName(draft: Draft<Part>, name: string, path: string, id: string | undefined, where: string | undefined): boolean {
  const { unknownProperties } = draft.model
  if (unknownProperties === 'keep' && isGoodName(name)) return false
  const at = where ?? path + pointer(name)
  if (isReservedName(name)) addProblem(draft, 'reserved-name', at, `${shown(name)} is reserved and cannot name a property`, id)
  else if (!NAME_PATTERN.test(name)) addProblem(draft, 'invalid-name', at, `${JSON.stringify(shown(name))} cannot name a property`, id)
  else addProblem(draft, 'unknown-property', at, `the model ${draft.model.name} has no property ${name}, and refuses others`, id)
  return true
}

/** Names found good, because devices say the same ones again and again. Bounded, and nothing but speed depends on it. */
const goodNames = new Set<string>()
const MAX_GOOD_NAMES = 10_000

function isGoodName(name: string): boolean {
  if (goodNames.has(name)) return true
  if (!isPropertyName(name)) return false
  if (goodNames.size >= MAX_GOOD_NAMES) goodNames.clear()
  goodNames.add(name)
  return true
}

/** `{"ts": …, "temperature": …}`: taken without its time, the value would be told wrongly. */
function mixesForms(draft: Draft<Part>, json: Json, path: string): boolean {
  for (const word of ['ts', 'ageMs', 'id']) {
    if (!Object.hasOwn(json, word)) continue
    addProblem(draft, 'reserved-name', `${path}/${word}`, `${word} stands beside values: {"${word}": …, "values": {"name": value}}`)
    return true
  }
  return false
}

function refuseUnknownFields(draft: Draft<Part>, json: Json, path: string): undefined {
  for (const field in json) {
    if (field === 'values' || field === 'ts' || field === 'id' || field === 'ageMs') continue
    addProblem(
      draft,
      'unknown-field',
      path + pointer(field),
      `beside values stand only id, ts and ageMs: ${shown(field)} belongs into values`,
    )
  }
}

/** Of two readings of one name and time in one message, the last counts; with ids of their own both go on, and the greater id will win. */
export function dropDuplicates(draft: Draft<Part>): undefined {
  const seen = new Map<string, { readings: Reading[]; n: number }>()
  const dropped = new Set<Reading[]>()
  for (const { readings } of draft.parts) {
    for (let n = 0; n < readings.length; n++) {
      const { name, ts, messageId } = readings[n] as Reading
      const key = `${name} ${ts} ${messageId ?? ''}`
      const earlier = seen.get(key)
      if (earlier !== undefined) {
        earlier.readings[earlier.n] = DROPPED
        dropped.add(earlier.readings)
        addProblem(
          draft,
          'duplicate-name',
          '',
          `${name} stands twice with the time ${new Date(ts).toISOString()}; the last one counts`,
          messageId,
        )
      }
      seen.set(key, { readings, n })
    }
  }
  for (const readings of dropped) readings.splice(0, readings.length, ...readings.filter((reading) => reading !== DROPPED))
}

const DROPPED: Reading = { name: '', value: null, ts: 0, receivedAt: 0 }
