/**
 * Twin documents in memory, for filters: read in batches when first needed, kept current by what the stream carries, and read again before
 * they are old, because not all that changes a twin is told by an event (attributes, a routine decision). Bounded.
 *
 * A scope is one way of reading: the newest events all go one way, a reader that catches up goes its own.
 */

import { searchableJson, type TwinDocument, telemetryPart, twinDocument } from '../../twin-models/core/document.ts'
import { mergeLatest } from '../../twin-models/core/latest.ts'
import { isoTime } from '../../twin-models/core/times.ts'
import type { Latest, Reading, Value } from '../../twin-models/core/types.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import type { Models, TwinRow } from '../ports.ts'
import { isReading, type LiveEvent } from './live-event.ts'
import { overlay } from './overlay.ts'
import type { LiveStore } from './ports.ts'

interface Kept {
  /** Null: there is no such device any more. */
  document: TwinDocument | null
  latest: Latest
  model: DeviceModel | undefined
  readAt: number
}

const SCOPES = 2 ** 32

export class Documents {
  readonly #store: Pick<LiveStore, 'twins'>
  readonly #models: Models
  readonly #most: number
  readonly #kept = new Map<number, Kept>()

  constructor(store: Pick<LiveStore, 'twins'>, models: Models, most: number) {
    this.#store = store
    this.#models = models
    this.#most = most
  }

  /** Those that are not there yet, or were read longer ago than `trustMs`. */
  async load(scope: number, incarnations: Iterable<number>, trustMs = Infinity): Promise<void> {
    const now = performance.now()
    const wanted = [...new Set(incarnations)].filter((incarnation) => {
      const kept = this.#kept.get(keyOf(scope, incarnation))
      return kept === undefined || now - kept.readAt > trustMs
    })
    if (wanted.length === 0) return
    const rows = new Map((await this.#store.twins(wanted)).map((row) => [row.incarnation, row]))
    for (const incarnation of wanted) this.#keep(scope, incarnation, rows.get(incarnation), now)
  }

  has(scope: number, incarnation: number): boolean {
    return this.#kept.has(keyOf(scope, incarnation))
  }

  get(scope: number, incarnation: number): TwinDocument | undefined {
    return this.#kept.get(keyOf(scope, incarnation))?.document ?? undefined
  }

  /** The twin as it is after the event. */
  apply(scope: number, { incarnation, at, from }: LiveEvent): TwinDocument | undefined {
    const kept = this.#kept.get(keyOf(scope, incarnation))
    if (!kept?.document) return undefined
    if (!isReading(from)) overlay(kept.document, from, at)
    else {
      for (const reading of from.readings) merge(kept, { ...reading, value: searchable(reading.value) })
      const seen = isoTime(at)
      if ((kept.document.presence.lastSeenAt ?? '') < seen) kept.document.presence.lastSeenAt = seen
    }
    return kept.document
  }

  /** Between uses, since whoever loads needs all that was loaded. */
  trim(): void {
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= this.#most) return
      this.#kept.delete(key)
    }
  }

  clear(): void {
    this.#kept.clear()
  }

  #keep(scope: number, incarnation: number, row: (TwinRow & { tenant: string }) | undefined, now: number): void {
    const key = keyOf(scope, incarnation)
    const before = this.#kept.get(key)
    this.#kept.delete(key)
    if (row === undefined) {
      this.#kept.set(key, { document: null, latest: {}, model: undefined, readAt: now })
      return
    }
    const model = this.#models.find(row.model)
    const latest: Latest = searchableText(row.latest)
    const decided = JSON.parse(row.decided)
    const clock = row.clock === null ? null : JSON.parse(row.clock)
    const document = twinDocument({ ...row, attributes: JSON.parse(row.attributes), decided, latest, clock }, model, Date.now())
    const kept = { document, latest, model, readAt: now }
    this.#kept.set(key, kept)
    // The row may not have yet what the tail of the log told.
    for (const [name, [value, ts, receivedAt, messageId]] of Object.entries(before?.latest ?? {}))
      merge(kept, { name, value, ts, receivedAt, ...(messageId !== undefined && { messageId }) })
    const seen = before?.document?.presence.lastSeenAt
    if (seen !== undefined && (document.presence.lastSeenAt ?? '') < seen) document.presence.lastSeenAt = seen
  }
}

function keyOf(scope: number, incarnation: number): number {
  return scope * SCOPES + incarnation
}

function merge({ document, latest, model }: Kept, reading: Reading): void {
  if (!document || !mergeLatest(latest, reading)) return
  const { name } = reading
  const shown = telemetryPart({ [name]: latest[name]! }, model)[name]!
  document.telemetry[name] = { ...shown, stale: false }
}

/** As search has it: its copy holds neither U+0000 nor half a surrogate pair. */
function searchable(value: Value): Value {
  return typeof value === 'number' || typeof value === 'boolean' ? value : JSON.parse(searchableJson(value))
}

function searchableText(json: string): Latest {
  const latest: Latest = JSON.parse(json)
  return json.includes('\\u') ? JSON.parse(searchableJson(latest)) : latest
}
