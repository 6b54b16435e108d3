/**
 * What a message of a simulated device means, worked out independently of api/ingest/decode.ts and only for the forms that these devices
 * send: the oracle's own reading of the protocol.
 */
import type { DeviceAnswer, Firmware, Health, JsonObject, Rejections, Value } from '../../../twin-models/core/types.ts'
import type { DeviceModel } from '../../../twin-models/model.ts'
import { POISON } from './troubled-store.ts'

export interface ExpectedReading {
  name: string
  value: Value
  ts: number
  receivedAt: number
  messageId: string | undefined
}

export interface ExpectedPart {
  id?: string
  /** Counts once, by this. */
  key?: string
  readings: ExpectedReading[]
  hello?: { status: 'online' | 'offline'; firmware?: Firmware; health?: Health }
  event?: { name: string; ts: number; data: Value }
  report?: { ts: number; state: JsonObject; version?: number; rejected?: Rejections }
  /** `progress` is JSON. */
  /** A last word on an update. */
  ending?: true
  /** A step of an update that its twin hears of. */
  step?: true
  response?: { command: string; word: DeviceAnswer | { status: 'acknowledged' | 'running'; progress: string | null } }
}

interface Received {
  kind: string
  name?: string | undefined
  payload: string
  receivedAt: number
}

const YEAR_2000 = Date.UTC(2000, 0, 1)
/** So far ahead of its receipt a time is still believed: the clocks of bridges are not exact either. */
const BELIEVED_AHEAD_MS = 1_000

/** Null: nothing of it can be stored, and it becomes a dead letter whole. */
export function expectedParts(message: Received, model: DeviceModel): ExpectedPart[] | null {
  const { kind, payload } = message
  if (kind === 'telemetry' && payload.includes(`"${POISON}"`) && keeps(model)) return null
  let json: Value
  try {
    json = JSON.parse(payload)
  } catch {
    return []
  }
  if (kind === 'telemetry')
    return (Array.isArray(json) ? json : [json]).flatMap((element, n) => telemetryPart(message, element as Json, n, model))
  if (kind === 'event') return eventPart(message, json as Json, model)
  if (kind === 'reported') return reportPart(message, json as Json, model)
  if (kind === 'response') return responsePart(message, json as Json)
  if (kind === 'update') return [updatePart(json as Json)]
  return kind === 'presence' || kind === 'will' ? helloPart(message, json as Json) : []
}

function keeps(model: DeviceModel): boolean {
  return model.unknownProperties === 'keep'
}

type Json = { [key: string]: Value }

function telemetryPart(message: Received, json: Json, index: number, model: DeviceModel): ExpectedPart[] {
  const { receivedAt, payload } = message
  const id = json.id as string | undefined
  const own = json.ts as number | undefined
  const isBelieved = own === undefined || (isBelievedAhead(own, receivedAt) && own >= YEAR_2000)
  const ts = own === undefined ? receivedAt - ((json.ageMs as number | undefined) ?? 0) : isBelieved ? own : receivedAt
  if (ts < receivedAt - model.backfillLimitMs) return []
  const readings: ExpectedReading[] = []
  for (const [name, value] of Object.entries((json.values ?? json) as Json)) {
    const property = model.properties.get(name)
    if (property ? property.problemOf(value) !== undefined : !keeps(model)) continue
    readings.push({ name, value, ts, receivedAt, messageId: id })
  }
  if (id !== undefined) return [{ id, key: `telemetry ${id}`, readings }]
  return [isBelieved ? { readings } : { key: `element ${index} ${payload}`, readings }]
}

function eventPart({ name = '', receivedAt }: Received, json: Json, model: DeviceModel): ExpectedPart[] {
  const id = json.id as string | undefined
  const own = json.ts as number | undefined
  const event = { name, ts: timeOf(own, receivedAt), data: json.data ?? null }
  const known = model.events.get(name)
  if (known ? event.data !== null && known.problemOf(event.data) !== undefined : !keeps(model)) return []
  if (id !== undefined) return [{ id, key: `event ${id}`, readings: [], event }]
  if (own === undefined) return [{ readings: [], event }]
  return [{ key: `event ${name} ${own} ${JSON.stringify(event.data)}`, readings: [], event }]
}

function reportPart({ receivedAt }: Received, json: Json, model: DeviceModel): ExpectedPart[] {
  const id = json.id as string | undefined
  const own = json.ts as number | undefined
  const state = Object.entries((json.state ?? {}) as Json).filter(([name, value]) => {
    const property = model.properties.get(name)
    return property ? value === null || property.problemOf(value) === undefined : keeps(model)
  })
  const report = {
    ts: timeOf(own, receivedAt),
    state: Object.fromEntries(state),
    ...(json.version !== undefined && { version: json.version as number }),
    ...(json.rejected !== undefined && { rejected: json.rejected as Rejections }),
  }
  return [{ ...(id === undefined ? {} : { id, key: `reported ${id}` }), readings: [], report }]
}

function responsePart({ name: command = '' }: Received, json: Json): ExpectedPart[] {
  const id = json.id as string | undefined
  const { status, progress = null, output, code, message } = json
  const isLast = status === 'succeeded' || status === 'failed'
  const said = Object.entries({ status, output, ...(status === 'failed' && { code, message }) }).filter(([, value]) => value !== undefined)
  const word = isLast ? Object.fromEntries(said) : { status, progress: progress === null ? null : JSON.stringify(progress) }
  const response = { command, word } as NonNullable<ExpectedPart['response']>
  return [{ ...(id === undefined ? {} : { id, key: `response ${command} ${id}` }), readings: [], response }]
}

function timeOf(own: number | undefined, receivedAt: number): number {
  return own !== undefined && isBelievedAhead(own, receivedAt) ? own : receivedAt
}

function isBelievedAhead(own: number, receivedAt: number): boolean {
  return own <= receivedAt + BELIEVED_AHEAD_MS
}

function updatePart({ status }: Json): ExpectedPart {
  const isStep = status === 'installing' || status === 'rebooting'
  return { readings: [], ...((status === 'failed' || status === 'rejected') && { ending: true }), ...(isStep && { step: true }) }
}

function helloPart({ kind }: Received, json: Json): ExpectedPart[] {
  const id = json.id as string | undefined
  const { status, firmware, health } = json as unknown as NonNullable<ExpectedPart['hello']>
  const hello = { status, ...(firmware && { firmware }), ...(health && { health }) }
  return [{ ...(id === undefined ? {} : { id, key: `${kind} ${id}` }), readings: [], hello }]
}
