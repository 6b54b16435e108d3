/**
 * The twin document as REST shows it (docs/architecture.md §10): what is registered, what was decided and the latest values, joined.
 *
 * Parts that are not built yet are absent. Times go out as RFC 3339 in UTC with milliseconds; they come in as epoch milliseconds.
 */
import type { AlarmPart, DecidedPart } from './decided.ts'
import { isoTime as iso } from './times.ts'
import type { DeviceClock, Latest, Value } from './types.ts'

/** What the document is made of. */
export interface TwinParts {
  tenant: string
  incarnation: number
  device: string
  model: string
  modelVersion: string
  revision: number
  attributes: { [key: string]: Value }
  createdAt: number
  /** The newest of: registered, attributes or model changed, decided. Telemetry has times of its own. */
  updatedAt: number
  decided: DecidedPart
  latest: Latest
  /** 0: it never spoke. */
  lastSeenAt: number
  connected: boolean
  /** Null: it never told a time of its own. */
  clock: DeviceClock | null
}

/** What is used of a model; a DeviceModel fits. Undefined where the model is no longer shipped. */
export interface DocumentModel {
  settings: { presenceTimeoutMs: number }
  properties: ReadonlyMap<string, { unit?: string }>
}

export interface TwinDocument {
  id: string
  tenant: string
  model: string
  modelVersion: string
  revision: number
  status: 'active'
  attributes: { [key: string]: Value }
  presence: { status: string; since?: string; lastSeenAt?: string; reason?: string; connected: boolean }
  telemetry: { [name: string]: TelemetryValue & { stale: boolean } }
  /** Those that were not cleared, in their order. */
  alarms: Array<{ id: string } & AlarmPart>
  clock?: DeviceClock
  createdAt: string
  updatedAt: string
  [part: string]: unknown
}

export interface TelemetryValue {
  value: Value
  unit?: string
  ts: string
  receivedAt: string
  messageId?: string
}

export function twinDocument(parts: TwinParts, model: DocumentModel | undefined, now: number): TwinDocument {
  const { presence, alarms, ...decided } = parts.decided
  return {
    id: parts.device,
    tenant: parts.tenant,
    model: parts.model,
    modelVersion: parts.modelVersion,
    revision: parts.revision,
    status: 'active',
    attributes: parts.attributes,
    presence: presenceOf(parts, presence),
    telemetry: withStale(parts.latest, model, now),
    ...decided,
    alarms: alarmsOf(parts, alarms),
    ...(parts.clock !== null && { clock: parts.clock }),
    createdAt: iso(parts.createdAt),
    updatedAt: iso(parts.updatedAt),
  }
}

/** What the document is made of, as stored: JSON stays text. */
export interface StoredTwinParts extends Omit<TwinParts, 'attributes' | 'decided' | 'latest' | 'clock'> {
  attributes: string
  decided: string
  latest: string
  clock: string | null
}

/**
 * JSON of the same document straight from what is stored. A search shows thousands of documents a second, and most of their text goes
 * out as it came in: only the latest values are parsed.
 */
export function twinJson(parts: StoredTwinParts, model: DocumentModel | undefined, now: number): string {
  const head = JSON.stringify({
    id: parts.device,
    tenant: parts.tenant,
    model: parts.model,
    modelVersion: parts.modelVersion,
    revision: parts.revision,
    status: 'active',
  })
  const { presence, alarms, ...decided } = JSON.parse(parts.decided) as DecidedPart
  const clock = parts.clock === null ? {} : { clock: JSON.parse(parts.clock) as DeviceClock }
  const open = alarmsOf(parts, alarms)
  const tail = JSON.stringify({ ...decided, alarms: open, ...clock, createdAt: iso(parts.createdAt), updatedAt: iso(parts.updatedAt) })
  const shownPresence = JSON.stringify(presenceOf(parts, presence))
  const telemetry = telemetryJson(JSON.parse(parts.latest) as Latest, model, now)
  return `${head.slice(0, -1)},"attributes":${parts.attributes},"presence":${shownPresence},"telemetry":${telemetry},${tail.slice(1)}`
}

/**
 * The document's `telemetry` without what changes by time alone: the copy that search uses (`devices.telemetry`).
 * Store it with `searchableJson`.
 */
export function telemetryPart(latest: Latest, model: DocumentModel | undefined): { [name: string]: TelemetryValue } {
  return Object.fromEntries(Object.keys(latest).map((name) => [name, telemetryValue(name, latest[name]!, model)]))
}

/**
 * JSON for a jsonb column. jsonb holds neither U+0000 nor half a surrogate pair, and a device may send both: they become U+FFFD in the
 * copy, while the document shows what the device sent.
 */
export function searchableJson(value: unknown): string {
  const text = JSON.stringify(value)
  if (!text.includes('\\u')) return text
  return text.replace(/\\(u0000|ud[89a-f][0-9a-f]{2}|.)/g, (found, rest: string) => (rest.length > 1 ? '\ufffd' : found))
}

function presenceOf(parts: { lastSeenAt: number; connected: boolean }, decided: DecidedPart['presence']): TwinDocument['presence'] {
  return { ...decided, ...(parts.lastSeenAt > 0 && { lastSeenAt: iso(parts.lastSeenAt) }), connected: parts.connected }
}

/** As REST knows them: by an id that tells them from those of other registrations. */
function alarmsOf({ incarnation }: { incarnation: number }, alarms: AlarmPart[] = []): TwinDocument['alarms'] {
  return alarms.map((alarm) => ({ id: alarmId(incarnation, alarm.n), ...alarm }))
}

export function alarmId(incarnation: number, n: number): string {
  return `${incarnation}-${n}`
}

/** A value is stale when its property was not received for longer than the model's presence timeout. */
function withStale(latest: Latest, model: DocumentModel | undefined, now: number): TwinDocument['telemetry'] {
  const staleBefore = now - presenceTimeoutOf(model)
  return Object.fromEntries(
    Object.keys(latest).map((name) => {
      const value = latest[name]!
      return [name, { ...telemetryValue(name, value, model), stale: value[2] < staleBefore }]
    }),
  )
}

/** The same as JSON. Names of properties need no escapes (ids.ts, NAME_PATTERN: others are refused on the way in). */
function telemetryJson(latest: Latest, model: DocumentModel | undefined, now: number): string {
  const staleBefore = now - presenceTimeoutOf(model)
  let json = ''
  for (const name of Object.keys(latest)) {
    const [value, ts, receivedAt, messageId] = latest[name]!
    const unit = model?.properties.get(name)?.unit
    json += `${json === '' ? '' : ','}"${name}":{"value":${typeof value === 'number' ? value : JSON.stringify(value)}`
    if (unit !== undefined) json += `,"unit":${JSON.stringify(unit)}`
    json += `,"ts":"${iso(ts)}","receivedAt":"${iso(receivedAt)}"`
    if (messageId !== undefined) json += `,"messageId":${JSON.stringify(messageId)}`
    json += receivedAt < staleBefore ? ',"stale":true}' : ',"stale":false}'
  }
  return `{${json}}`
}

function presenceTimeoutOf(model: DocumentModel | undefined): number {
  return model?.settings.presenceTimeoutMs ?? Number.POSITIVE_INFINITY
}

function telemetryValue(
  name: string,
  [value, ts, receivedAt, messageId]: Latest[string],
  model: DocumentModel | undefined,
): TelemetryValue {
  const unit = model?.properties.get(name)?.unit
  return {
    value,
    ...(unit !== undefined && { unit }),
    ts: iso(ts),
    receivedAt: iso(receivedAt),
    ...(messageId !== undefined && { messageId }),
  }
}
