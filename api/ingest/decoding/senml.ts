/**
 * SenML JSON (RFC 8428): a list of records, in which the base fields of one hold for all that follow.
 *
 * A record's name is a property of the device, alone or below the device's own id: `temperature`, `t-1/temperature`, `t-1:temperature`.
 */
import type { Reading, Value } from '../../../twin-models/core/types.ts'
import { NAME_PATTERN } from '../../../twin-models/ids.ts'
import type { Part } from '../decode.ts'
import { elementDigest, messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, doubtsOf, MAX_VALUES, noteOwnTime, pointer, shown, trustedTime } from './draft.ts'
import { idOf } from './id.ts'
import { dropDuplicates, takeValue } from './telemetry.ts'
import { recent } from './time.ts'

/** §4.5.3: times below 2**28 seconds are relative to now. */
const RELATIVE_BELOW = 2 ** 28
const VERSION = 10
/** §4.2: each record has one of these, or a sum. */
const VALUES = ['v', 'vs', 'vb', 'vd'] as const
/** Units of SenML that have another name in our models. */
const SAME_UNIT: { readonly [unit: string]: string } = { '%RH': '%' }

type Json = { [key: string]: Value }

interface Base {
  name: string
  time: number
  unit: string | undefined
  value: number
}

export function decodeSenml(draft: Draft<Part>, json: Value): undefined {
  if (!Array.isArray(json)) return addProblem(draft, 'wrong-type', '', 'SenML is a list of records')
  if (json.length > MAX_VALUES) {
    draft.values = json.length
    return
  }
  const id = idOf(draft, undefined, '')
  if (id === null) return
  const readings: Reading[] = []
  const base: Base = { name: '', time: 0, unit: undefined, value: 0 }
  for (let n = 0; n < json.length; n++) {
    const record = json[n] as Value
    if (typeof record !== 'object' || record === null || Array.isArray(record)) {
      addProblem(draft, 'wrong-type', pointer(n), 'a SenML record is an object', id)
      continue
    }
    const wrong = wrongBase(record)
    if (wrong !== undefined) {
      // What follows would be told with a wrong base.
      addProblem(draft, 'wrong-type', pointer(n) + pointer(wrong[0]), `${wrong[0]} must be ${wrong[1]}; what follows is not taken`, id)
      break
    }
    rebase(base, record)
    takeRecord(draft, readings, base, record, pointer(n), id)
  }
  if (id !== undefined) draft.parts.push({ id, digest: messageDigest('telemetry', id), readings })
  else if (doubtsOf(draft) > 0) draft.parts.push({ digest: elementDigest(draft.message.payload), readings })
  else draft.parts.push({ readings })
  dropDuplicates(draft)
}

/** The first base field that is wrong, and what it must be. */
function wrongBase({ bver, bn, bt, bu, bv }: Json): [field: string, must: string] | undefined {
  if (bver !== undefined && !(Number.isInteger(bver) && (bver as number) <= VERSION)) return ['bver', `a whole number up to ${VERSION}`]
  if (bn !== undefined && typeof bn !== 'string') return ['bn', 'a text']
  if (bt !== undefined && !isFiniteNumber(bt)) return ['bt', 'a number of seconds']
  if (bu !== undefined && typeof bu !== 'string') return ['bu', 'a text']
  if (bv !== undefined && !isFiniteNumber(bv)) return ['bv', 'a number']
  return undefined
}

/** The base fields were checked. */
function rebase(base: Base, { bn, bt, bu, bv }: Json): undefined {
  if (bn !== undefined) base.name = bn as string
  if (bt !== undefined) base.time = bt as number
  if (bu !== undefined) base.unit = bu as string
  if (bv !== undefined) base.value = bv as number
}

function takeRecord(draft: Draft<Part>, readings: Reading[], base: Base, record: Json, path: string, id: string | undefined): undefined {
  const given = VALUES.filter((field) => Object.hasOwn(record, field))
  // A record of base fields only.
  if (given.length === 0 && record.n === undefined && record.s === undefined) return
  draft.values++
  const field = given[0]
  if (given.length > 1 || (field === undefined && record.s !== undefined)) {
    return addProblem(draft, 'wrong-type', path, given.length > 1 ? `has ${given.join(' and ')}: one is allowed` : 'sums are not taken', id)
  }
  // §4.2: who does not know a field that ends in _ must not take the record.
  const unknown = Object.keys(record).find((key) => key.endsWith('_'))
  if (unknown !== undefined) return addProblem(draft, 'unknown-field', path + pointer(unknown), `${shown(unknown)} is not understood`, id)
  const name = nameOf(draft, base, record, path, id)
  if (name === undefined || !unitFits(draft, name, record.u ?? base.unit, path, id)) return
  const ts = recordTime(draft, base, record, path, id)
  if (Number.isNaN(ts)) return
  const value = recordValue(base, record, field)
  if (value === undefined) return addProblem(draft, 'wrong-type', `${path}/${field}`, `${field} has the wrong type`, id)
  takeValue(draft, readings, name, value, path, ts, id, `${path}/${field ?? 'v'}`)
}

/** §4.1: the base value is added to numbers; a missing one is zero. */
function recordValue(base: Base, record: Json, field: (typeof VALUES)[number] | undefined): Value | undefined {
  const value = field === undefined ? 0 : (record[field] as Value)
  switch (field ?? 'v') {
    case 'v':
      return typeof value === 'number' ? value + base.value : undefined
    case 'vb':
      return typeof value === 'boolean' ? value : undefined
    default:
      return typeof value === 'string' ? value : undefined
  }
}

function nameOf(draft: Draft<Part>, base: Base, record: Json, path: string, id: string | undefined): string | undefined {
  const { n = '' } = record
  if (typeof n !== 'string') return addProblem(draft, 'wrong-type', `${path}/n`, 'n must be a text', id)
  const full = base.name + n
  const name = full.startsWith(draft.device) && /^[/:]/.test(full.slice(draft.device.length)) ? full.slice(draft.device.length + 1) : full
  if (NAME_PATTERN.test(name)) return name
  const foreign = /[/:]/.test(name)
  const detail = `${JSON.stringify(shown(full))} is no property, alone or below ${draft.device}/`
  return addProblem(draft, foreign ? 'other-device' : 'invalid-name', `${path}/n`, detail, id)
}

function unitFits(draft: Draft<Part>, name: string, unit: Value | undefined, path: string, id: string | undefined): boolean {
  const wanted = draft.model.properties.get(name)?.unit
  if (unit === undefined || wanted === undefined || unit === wanted) return true
  if (typeof unit === 'string' && Object.hasOwn(SAME_UNIT, unit) && SAME_UNIT[unit] === wanted) return true
  addProblem(draft, 'wrong-unit', `${path}/u`, `${name} is measured in ${wanted}, not in ${shown(String(unit))}`, id)
  return false
}

/** NaN when it is refused. */
function recordTime(draft: Draft<Part>, base: Base, record: Json, path: string, id: string | undefined): number {
  const { t = 0 } = record
  if (!isFiniteNumber(t)) {
    addProblem(draft, 'invalid-time', `${path}/t`, 't must be a number of seconds', id)
    return Number.NaN
  }
  const seconds = base.time + t
  const { receivedAt } = draft.message
  const isRelative = seconds < RELATIVE_BELOW
  const own = Math.round((isRelative ? receivedAt / 1000 + seconds : seconds) * 1000)
  const trusted = isRelative ? Math.min(own, receivedAt) : trustedTime(draft, own)
  const taken = recent(draft, trusted, `${path}/t`, id)
  // What is relative to receipt tells nothing of a clock.
  if (!isRelative && !Number.isNaN(taken)) noteOwnTime(draft, own)
  return taken
}

function isFiniteNumber(value: Value): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
