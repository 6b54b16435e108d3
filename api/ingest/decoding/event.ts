/** Device events: `{id?, ts?, data}`, named by their topic. Their data is held against the model, as values are. */
import type { Value } from '../../../twin-models/core/types.ts'
import { NAME_PATTERN } from '../../../twin-models/ids.ts'
import type { Part } from '../decode.ts'
import { eventDigest, messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { parseTime, timeOf } from './time.ts'
import { isOfType, valueProblem } from './value.ts'

const MAX_DATA_LENGTH = 32_768
const FIELDS = new Set(['id', 'ts', 'ageMs', 'data'])

export function decodeEvent(draft: Draft<Part>, json: Value): undefined {
  const name = draft.message.name ?? ''
  if (!NAME_PATTERN.test(name)) return addProblem(draft, 'invalid-name', '', `${JSON.stringify(shown(name))} cannot name an event`)
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return addProblem(draft, 'wrong-type', '', 'must be an object: {"id": …, "ts": …, "data": …}')
  }
  const id = idOf(draft, json.id, '/id')
  if (id === null) return
  const known = draft.model.events.get(name)
  if (known === undefined && draft.model.unknownProperties === 'refuse') {
    return addProblem(draft, 'unknown-event', '', `the model ${draft.model.name} has no event ${name}, and refuses others`, id)
  }
  if (!hasOnlyFields(draft, json, id)) return
  const ts = timeOf(draft, json.ts, json.ageMs, '', id)
  if (Number.isNaN(ts)) return
  // As a value on its own null says nothing; as the data of an event it says that there is none.
  const data = json.data ?? null
  const problem = data === null ? undefined : valueProblem(data, MAX_DATA_LENGTH)
  if (problem !== undefined) return addProblem(draft, problem.reason, `/data${problem.path}`, `data: ${problem.detail}`, id)
  // Events that say only that they happened are taken, whatever the model would like to know of them: a leak without its litres is a leak.
  const misfit = data === null ? undefined : known?.problemOf(data)
  if (misfit !== undefined) {
    const reason = known?.type === undefined || isOfType(known.type, data) ? 'invalid-value' : 'wrong-type'
    return addProblem(draft, reason, '/data', `data ${shown(misfit)}`, id)
  }
  const event = { name, ts, data }
  if (id !== undefined) draft.parts.push({ id, digest: messageDigest('event', id), readings: [], event })
  else if (json.ts !== undefined) draft.parts.push({ digest: eventDigest(name, parseTime(json.ts) as number, data), readings: [], event })
  else draft.parts.push({ readings: [], event })
}

/** Beside `data`, other fields are only noted; without it they are probably what the event wanted to say. */
function hasOnlyFields(draft: Draft<Part>, json: { [key: string]: Value }, id: string | undefined): boolean {
  const unknown = Object.keys(json).filter((field) => !FIELDS.has(field))
  for (const field of unknown) {
    addProblem(draft, 'unknown-field', pointer(field), `an event has only id, ts, ageMs and data: ${shown(field)} belongs into data`, id)
  }
  return unknown.length === 0 || Object.hasOwn(json, 'data')
}
