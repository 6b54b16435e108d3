/**
 * The processor's store in memory, for the simulation: infra/postgres/lane-store.ts and lane-commit.ts, held to the same suite
 * (tests/conformance/lane-store.ts). A commit has two halves, so that a test can stop between them: the outcome is then unknown to the
 * caller, and the lanes stay locked until it is decided.
 */

import { UPDATE_STEPS } from '../../api/ingest/decoding/update-status.ts'
import {
  type CommandState,
  type InboxChange,
  type LaneDevice,
  type LaneStore,
  LeaseLost,
  type TickChanges,
  type UpdateNews,
  type UpdateState,
} from '../../api/ingest/lane-store.ts'
import { HEARTBEAT_LANE } from '../../api/ingest/log.ts'
import { LATE_ANSWERS } from '../../infra/postgres/decision-effects.ts'
import type { Wake } from '../../twin-models/core/types.ts'
import type { InboxRecord, MemoryDatabase, TelemetryRecord, UpdateRecord } from './memory-database.ts'
import { currentLanes } from './memory-leases.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function memoryLaneStore(db: MemoryDatabase): LaneStore {
  return {
    lanes: (lanes) => currentLanes(db, lanes),
    streams: async () => [...db.streams.values()].map(({ stream, closedAt }) => ({ stream, closed: closedAt !== null })),
    read: async (stream, after, lanes, maxEntries) => {
      const wanted = new Set([...lanes, HEARTBEAT_LANE])
      const entries = db.streams.get(stream)?.entries ?? []
      const found = []
      for (let i = firstAfter(entries, after); i < entries.length && found.length < maxEntries; i++) {
        if (wanted.has(entries[i]!.lane)) found.push({ ...entries[i]! })
      }
      return found
    },
    devices: async (incarnations) =>
      incarnations.flatMap((incarnation) => {
        const record = db.devices.get(incarnation)
        if (record === undefined) return []
        const { tenant, device, model, modelVersion } = record
        return [{ incarnation, tenant, device, model, modelVersion, inbox: rowOf(db.inbox.get(incarnation)) }]
      }),
    knownMessages: async (ids) => {
      const keys = ids.map(({ incarnation, digest }) => `${incarnation} ${digest}`)
      return new Set(keys.filter((key) => db.messageIds.has(key)))
    },
    commands: async (ids) => {
      const found = new Map<string, CommandState>()
      for (const { incarnation, id } of ids) {
        const command = db.commands.get(id)
        if (command?.incarnation !== incarnation) continue
        const { name, status, code, endedAt } = command
        found.set(`${incarnation} ${id}`, { name, status, code, open: endedAt === null })
      }
      return found
    },
    updates: async (ids) => {
      const found = new Map<string, UpdateState>()
      for (const { incarnation, id } of ids) {
        const update = db.updates.get(id)
        if (update?.incarnation !== incarnation) continue
        const { status, code, endedAt, sentAt } = update
        found.set(`${incarnation} ${id}`, { open: endedAt === null, status, code, told: sentAt !== null })
      }
      return found
    },
    properties: async (tenant, names) => new Map(names.map((name) => [name, db.propertyId(tenant, name)])),
    answers: async (lanes, limit) =>
      first(db.answers.values(), limit, ({ lane }) => lanes.includes(lane)).map(({ lane: _, ...rest }) => rest),
    requests: async (lanes, limit) =>
      first(db.requests.values(), limit, ({ lane, seq, answeredAt }) => seq === null && answeredAt === null && lanes.includes(lane)).map(
        ({ id, incarnation, lane, kind, body }) => ({ id, incarnation, lane, kind, body }),
      ),
    removed: async (lanes, limit) =>
      first(db.removedDevices.values(), limit, ({ lane, endedAt }) => endedAt === null && lanes.includes(lane)).map(
        ({ incarnation, tenant, device }) => ({ incarnation, tenant, device }),
      ),
    removalTold: async (incarnation) => {
      const removed = db.removedDevices.get(incarnation)
      if (removed) removed.endedAt = db.clock()
    },
    ruleChange: async () => ({ change: Math.max(0, ...db.ruleScopes.map(({ change }) => change)), devices: db.ruleDevices.size > 0 }),
    liveRules: async () => [...db.rules.values()],
    outdated: async (lanes, limit) =>
      first(db.inbox, limit, ([incarnation, row]) => lanes.includes(row.lane) && isOutdated(db, incarnation, row)).map(([incarnation]) => ({
        incarnation,
        asked: db.ruleDevices.get(incarnation) ?? null,
      })),
    registered: async (incarnations) =>
      new Map(
        incarnations.flatMap((incarnation) => {
          const device = db.devices.get(incarnation)
          return device ? [[incarnation, { model: device.model, attributes: '{}' }]] : []
        }),
      ),
    laneDevices: async function* (lanes) {
      yield [...db.inbox].filter(([, { lane }]) => lanes.includes(lane)).map(([incarnation, row]) => laneDevice(db, incarnation, row))
    },
    connectedThrough: async (stream, lanes) =>
      [...db.inbox]
        .filter(([, { connection, lane }]) => connection !== null && JSON.parse(connection)[1] === stream && lanes.includes(lane))
        .map(([incarnation]) => incarnation),
    copyForSearch: async (rows) => {
      for (const { incarnation, telemetry } of rows) {
        const device = db.devices.get(incarnation)
        if (device) device.telemetry = telemetry
      }
    },
    commit: async (changes, trial = false) => {
      const finish = beginCommit(db, changes)
      finish(!trial)
    },
    isTransient: (error) =>
      typeof (error as { code?: unknown }).code === 'string' && /^(08|40|CONNECTION)/.test((error as { code: string }).code),
  }
}

/** Everything of a transaction but its end, which `finish` makes true or takes back. Throws what Postgres would refuse. */
export function beginCommit(db: MemoryDatabase, changes: TickChanges): (really: boolean) => void {
  for (const { lane, epoch, stored } of changes.lanes) {
    const record = db.lanes.get(lane)
    const owned = record?.owner !== null && record!.leaseUntil > db.clock()
    if (!record || record.epoch !== epoch || record.cursors !== stored || !owned || record.lock) throw new LeaseLost()
  }
  for (const { digest } of changes.messageIds) if (!UUID.test(digest)) throw failure('22P02', `no uuid: ${digest}`)
  const rows = new Set<string>()
  for (const { incarnation, property, ts } of changes.news) {
    const key = `${property} ${ts}`
    if (db.telemetry.get(incarnation)?.has(key) || rows.has(`${incarnation} ${key}`)) throw failure('23505', `telemetry has ${key}`)
    rows.add(`${incarnation} ${key}`)
  }
  const lock = Promise.withResolvers<void>()
  for (const { lane } of changes.lanes) db.lanes.get(lane)!.lock = lock.promise
  return (really) => {
    for (const { lane } of changes.lanes) db.lanes.get(lane)!.lock = null
    if (really) apply(db, changes)
    lock.resolve()
  }
}

export function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

function apply(db: MemoryDatabase, changes: TickChanges): void {
  for (const { lane, cursors, watermark, graceSince } of changes.lanes) {
    Object.assign(db.lanes.get(lane)!, { cursors: JSON.stringify(cursors), watermark, graceSince })
  }
  for (const change of changes.inboxes) writeInbox(db, change)
  for (const reading of [...changes.news, ...changes.late]) writeReading(db, { ...reading, messageId: reading.messageId ?? null })
  for (const { incarnation, digest, seenAt } of changes.messageIds) db.messageIds.set(`${incarnation} ${digest}`, seenAt)
  for (const { path: _, ...letter } of changes.deadLetters) db.deadLetters.push(letter)
  db.deviceErrors.push(...changes.errors)
  for (const { incarnation, asked } of changes.reruled) if (db.ruleDevices.get(incarnation) === asked) db.ruleDevices.delete(incarnation)
  for (const id of changes.answers) db.answers.delete(id)
  for (const { id, seq } of changes.requests) {
    const request = db.requests.get(id)
    if (request) request.seq = seq
  }
  for (const id of changes.refusedRequests) {
    const request = db.requests.get(id)
    if (request?.answeredAt === null) Object.assign(request, { answeredAt: db.clock(), answer: '{"refused":"unknown-kind"}' })
    const update = request?.kind === 'update' ? db.updates.get(id) : undefined
    if (update && update.incarnation === request?.incarnation && update.endedAt === null) endUpdate(db, update, 'skipped', 'unknown-kind')
  }
  writeCommands(db, changes)
  for (const news of changes.updateNews) writeUpdate(db, news)
  for (const incarnation of changes.removed) forget(db, incarnation)
}

function writeCommands(db: MemoryDatabase, { commandNews, commandLate }: TickChanges): void {
  for (const { id, status, progress, at } of commandNews) {
    const command = db.commands.get(id)
    if (command === undefined || command.endedAt !== null) continue
    const isForward = ['queued', 'sent'].includes(command.status) || (command.status === 'acknowledged' && status === 'running')
    if (isForward) command.status = status
    command.acknowledgedAt ??= at
    command.progress = progress ?? command.progress
  }
  for (const { id, answer } of commandLate) {
    const command = db.commands.get(id)
    const late = JSON.parse(command?.late ?? '[]') as unknown[]
    if (command && late.length < LATE_ANSWERS) command.late = JSON.stringify([...late, JSON.parse(answer)])
  }
}

function writeUpdate(db: MemoryDatabase, { id, status, progress, at }: UpdateNews): void {
  const update = db.updates.get(id)
  if (update === undefined || update.endedAt !== null || update.status === 'soaking' || update.sentAt === null) return
  update.answeredAt ??= at
  if (status === null) return
  const steps: readonly string[] = UPDATE_STEPS
  if (status === update.status) update.progress = progress ?? update.progress
  else if (steps.indexOf(status) > steps.indexOf(update.status)) Object.assign(update, { status, statusAt: at, progress })
}

function endUpdate(db: MemoryDatabase, update: UpdateRecord, status: string, code: string): void {
  const at = db.clock()
  Object.assign(update, { status, code, message: null, job: null, link: null, statusAt: at, endedAt: at })
}

/** As in Postgres: what every message changes is an update that finds its row or does nothing; all else is an upsert. */
function writeInbox(db: MemoryDatabase, { incarnation, full, lane, ...change }: InboxChange): void {
  const known = db.inbox.get(incarnation)
  const { lastSeen, connection, latest, pending, pendingSince, urgent, featureValues, dueAt } = change
  const { ruled, stated, rules, features, featureStates, ...rest } = change
  const former = { rules: known?.rules ?? 0, features: known?.features ?? null, featureStates: known?.featureStates ?? null }
  if (full) db.inbox.set(incarnation, { lane, ...rest, ...former })
  else if (known) Object.assign(known, { lastSeen, connection, latest, pending, pendingSince, urgent, featureValues, dueAt })
  const row = db.inbox.get(incarnation)
  if (row && ruled) Object.assign(row, { rules, features })
  if (row && stated) Object.assign(row, { featureStates })
}

function writeReading(db: MemoryDatabase, { incarnation, property, ts, receivedAt, value, messageId }: TelemetryRecord): void {
  let rows = db.telemetry.get(incarnation)
  if (rows === undefined) {
    rows = new Map()
    db.telemetry.set(incarnation, rows)
  }
  const key = `${property} ${ts}`
  const known = rows.get(key)
  const isGreater =
    known === undefined || receivedAt > known.receivedAt || (receivedAt === known.receivedAt && (messageId ?? '') > (known.messageId ?? ''))
  if (isGreater) rows.set(key, { incarnation, property, ts, receivedAt, value, messageId })
}

function forget(db: MemoryDatabase, incarnation: number): void {
  db.inbox.delete(incarnation)
  db.wishes.delete(incarnation)
  db.ruleDevices.delete(incarnation)
  for (const command of db.commandsOf(incarnation)) {
    if (command.endedAt === null) Object.assign(command, { status: 'cancelled', code: 'device-removed', endedAt: db.clock() })
  }
  for (const update of db.updatesOf(incarnation)) if (update.endedAt === null) endUpdate(db, update, 'cancelled', 'device-removed')
  for (const alarm of db.alarms.get(incarnation)?.values() ?? []) {
    if (alarm.clearedAt === null)
      Object.assign(alarm, { status: 'cleared', clearedAt: db.clock(), updatedAt: db.clock(), clearReason: 'removed' })
  }
  for (const [id, answer] of db.answers) if (answer.incarnation === incarnation) db.answers.delete(id)
  for (const request of db.requests.values()) {
    if (request.incarnation === incarnation && request.answeredAt === null)
      Object.assign(request, { answeredAt: db.clock(), answer: '{"removed":true}' })
  }
}

function rowOf(record: InboxRecord | undefined) {
  if (record === undefined) return null
  const { lastSeen, connection, latest, pending, sealed, sealedSeq, sealedAt, wake, clock, rules } = record
  const { features, featureStates, featureValues } = record
  return {
    ...{ lastSeen, connection, latest, pending, sealed, sealedSeq, sealedAt, wake, clock, rules },
    ...{ features, featureStates, featureValues },
  }
}

function laneDevice(db: MemoryDatabase, incarnation: number, row: InboxRecord): LaneDevice {
  const wake = JSON.parse(row.wake) as Partial<Wake>
  return {
    incarnation,
    tenant: db.devices.get(incarnation)?.tenant ?? '',
    lastSeen: row.lastSeen,
    connected: row.connection !== null,
    urgent: row.urgent,
    presence: wake.presence ?? 'never',
    presenceTimeoutMs: wake.presenceTimeoutMs ?? 60_000,
    pendingSince: row.pending === null ? null : row.pendingSince,
    sealedSeq: row.sealed === null ? null : row.sealedSeq,
    sealedAt: row.sealedAt,
    dueAt: row.dueAt,
  }
}

function isOutdated(db: MemoryDatabase, incarnation: number, row: InboxRecord): boolean {
  const device = db.devices.get(incarnation)
  if (!device) return false
  const isConcerned = db.ruleScopes.some(
    ({ tenant, model, change }) => tenant === device.tenant && (model ?? device.model) === device.model && change > row.rules,
  )
  return isConcerned || db.ruleDevices.has(incarnation)
}

/** Index of the first entry with a greater seq. Entries stand in order. */
function firstAfter(entries: Array<{ seq: number }>, after: number): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]!.seq > after) high = middle
    else low = middle + 1
  }
  return low
}

function first<T>(values: Iterable<T>, limit: number, wanted: (value: T) => boolean): T[] {
  const found: T[] = []
  for (const value of values) {
    if (found.length === limit) break
    if (wanted(value)) found.push(value)
  }
  return found
}
