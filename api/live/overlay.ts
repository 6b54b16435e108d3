/** What an event changes in the twin document, so that a filter is asked of the twin as it is right after the event, also when events are read later. */
import { maintenancePart } from '../../twin-models/core/decided.ts'
import { deltaOf } from '../../twin-models/core/delta.ts'
import type { TwinDocument } from '../../twin-models/core/document.ts'
import { applyChanges } from '../../twin-models/core/pointer.ts'
import { isoTime } from '../../twin-models/core/times.ts'
import type { Change, JsonObject, Maintenance } from '../../twin-models/core/types.ts'
import type { FromOutbox } from './live-event.ts'

interface Wishes {
  state: JsonObject
  version: number
  metadata: { [pointer: string]: JsonObject }
}

/** `document` is changed. `decidedAt`: epoch ms. */
export function overlay(document: TwinDocument, { kind, revision, event }: FromOutbox, decidedAt: number): void {
  document.revision = Math.max(document.revision, revision)
  const updatedAt = isoTime(decidedAt)
  if (document.updatedAt < updatedAt) document.updatedAt = updatedAt
  const at = isoTime(event.at)
  const { before: _before, after, path, paths, version, reason } = event as { [member: string]: unknown }
  switch (kind) {
    case 'configured':
      if (event.settings) Object.assign(document, { model: event.settings.model, modelVersion: event.settings.modelVersion })
      return
    case 'presence-changed':
      Object.assign(document.presence, { status: after, since: at, reason })
      return
    case 'range-changed': {
      const range = { status: after, since: at, value: event.value, ts: isoTime(event.ts ?? event.at) }
      document.ranges = { ...(document.ranges as object | undefined), [String(event.name)]: range }
      return
    }
    case 'firmware-changed':
      document.firmware = after
      return
    case 'health-changed':
      document.health = after
      return
    case 'maintenance-changed':
      if (event.maintenance) document.maintenance = maintenancePart(event.maintenance as Maintenance)
      else delete document.maintenance
      return
    case 'reported-changed':
      document.reported = { metadata: {}, ...(document.reported as object | undefined), state: changed(document.reported, event) }
      showDelta(document)
      return
    case 'desired-changed': {
      const desired = wishes(document)
      desired.state = changed(desired, event)
      desired.version = Math.max(desired.version, Number(version))
      mark(desired, changesOf(event), { version: Number(version), at, by: String(event.by), status: 'pending', since: at })
      showDelta(document)
      return
    }
    case 'desired-acknowledged':
      mark(wishes(document), asChanges(paths), { status: 'acknowledged', since: at })
      return
    case 'desired-converged':
      mark(wishes(document), asChanges(paths), { status: 'converged', since: at })
      return
    case 'desired-diverged':
      mark(wishes(document), asChanges([path]), { status: 'diverged', since: at, reason: String(reason) })
      return
  }
}

function wishes(document: TwinDocument): Wishes {
  document.desired ??= { state: {}, version: 0, metadata: {} }
  return document.desired as Wishes
}

function changed(part: unknown, event: FromOutbox['event']): JsonObject {
  return applyChanges((part as { state?: JsonObject } | undefined)?.state ?? {}, changesOf(event))
}

function changesOf(event: FromOutbox['event']): Change[] {
  return (event.changes as Change[] | undefined) ?? []
}

function asChanges(paths: unknown): Change[] {
  return ((paths as string[] | undefined) ?? []).map((path) => ({ path, after: null }))
}

/** What is no longer wished has no metadata. */
function mark(desired: Wishes, changes: Change[], metadata: JsonObject): void {
  const marked = { ...desired.metadata }
  for (const { path, after } of changes) {
    if (after === undefined) delete marked[path]
    else marked[path] = 'version' in metadata ? metadata : { ...marked[path], ...metadata }
  }
  desired.metadata = marked
}

function showDelta(document: TwinDocument): void {
  const desired = document.desired as Wishes | undefined
  const reported = document.reported as { state: JsonObject } | undefined
  if (desired) document.delta = deltaOf(desired.state, reported?.state ?? {})
}
