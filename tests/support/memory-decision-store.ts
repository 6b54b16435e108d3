/** The decision write in memory, for the simulation: infra/postgres/decision-store.ts, held to the same suite (tests/conformance/decision-store.ts). */
import type { Decision, DecisionOutcome, DecisionStore } from '../../activities/ports.ts'
import { expectedPresence } from '../../api/ingest/device.ts'
import { commandChanges, LATE_ANSWERS } from '../../infra/postgres/decision-effects.ts'
import { updateRowChanges } from '../../infra/postgres/decision-updates.ts'
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { DecisionEffects, UpdateChange } from '../../twin-models/core/effects.ts'
import type { TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import type { SignJob } from '../../twin-models/firmware/job.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import type { DeviceRecord, MemoryDatabase } from './memory-database.ts'

/** Nobody checks it here. */
const unsigned: SignJob = (payload) => ({ payloadType: 'test', payload: Buffer.from(payload).toString('base64'), signatures: [] })

export function memoryDecisionStore(db: MemoryDatabase): DecisionStore {
  return {
    write: async (decision) => (write(db, decision) ? { outcome: 'written' } : standing(db, decision, undefined)),
    confirm: async (key, revision) => standing(db, key, revision),
    lastSeen: async (key) => {
      const device = find(db, key)
      if (device === undefined) return null
      const row = db.inbox.get(key.incarnation)
      const lane = db.lanes.get(key.incarnation % db.lanes.size)!
      const lastSeenAt = Math.max(row?.lastSeen ?? 0, lane.graceSince)
      return { lastSeenAt, connected: row !== undefined && row.connection !== null, watermark: lane.watermark }
    },
    sentCommands: async (key) => {
      if (find(db, key) === undefined) return null
      const open = db.commandsOf(key.incarnation).filter(({ endedAt }) => endedAt === null)
      return open.filter(({ sentAt }) => sentAt !== null).map(({ id }) => id)
    },
    sentUpdate: async (key, id) => {
      if (find(db, key) === undefined) return null
      const row = db.updates.get(id)
      const known = row?.incarnation === key.incarnation ? row : { toldAt: null, sentAt: null, status: 'scheduled', statusAt: null }
      const { toldAt, sentAt, status, statusAt } = known
      const inbox = db.inbox.get(key.incarnation)
      const presence = inbox && expectedPresence(inbox)
      return { id, sentAt: toldAt ?? sentAt, status, statusAt, lastSeenAt: inbox?.lastSeen ?? null, ...(presence && { presence }) }
    },
  }
}

function write(db: MemoryDatabase, decision: Decision): boolean {
  const { incarnation, seq, state, events, wake, answers } = decision
  const device = find(db, decision)
  if (device === undefined || device.revision !== decision.expectedRevision) return false
  device.revision++
  device.decidedSeq = seq
  device.state = JSON.stringify(state)
  device.decided = JSON.stringify(decidedPart(state), (_key, part) =>
    typeof part === 'string' ? part.toWellFormed().replaceAll('\0', '\uFFFD') : part,
  )
  const history = db.history.get(incarnation) ?? []
  db.history.set(incarnation, history)
  events.forEach(({ kind, cause, ...event }, i) => {
    history.push({ incarnation, revision: device.revision, n: i + 1, kind, event: JSON.stringify(event), cause: JSON.stringify(cause) })
  })
  for (const { request, answer } of answers) {
    const row = db.requests.get(request)
    if (row?.incarnation !== incarnation || row.answeredAt !== null) continue
    row.answeredAt = db.clock()
    row.answer = JSON.stringify(answer)
  }
  if (decision.effects) applyEffects(db, decision, decision.effects)
  db.answer(incarnation, seq, JSON.stringify(wake))
  return true
}

function applyEffects(db: MemoryDatabase, key: TwinKey, { wish, updates, alarms, ...effects }: DecisionEffects): void {
  const { incarnation } = key
  applyUpdates(db, key, updates)
  applyAlarms(db, key, alarms)
  if (wish) {
    const known = db.wishes.get(incarnation)
    const sent = known?.version === wish.version ? { sentAt: known.sentAt, attempts: known.attempts } : { sentAt: null, attempts: 0 }
    const body = wish.body && JSON.stringify(wish.body)
    db.wishes.set(incarnation, { incarnation, sentVersion: known?.sentVersion ?? null, ...sent, ...wish, body })
  }
  const now = db.clock()
  for (const { id, released, status, output, code, message, tell, late } of commandChanges(effects)) {
    const command = db.commands.get(id)
    if (command?.incarnation !== incarnation) continue
    if (released) command.releasedAt ??= now
    if (status !== undefined && command.endedAt === null) {
      Object.assign(command, { status, output: output ?? null, code: code ?? null, message: message ?? null, endedAt: now })
      if (tell && command.sentAt !== null) command.cancelAt = now
    }
    const kept = JSON.parse(command.late ?? '[]') as unknown[]
    if (late && kept.length < LATE_ANSWERS) command.late = JSON.stringify([...kept, ...late.map((answer) => JSON.parse(answer))])
  }
}

function applyUpdates(db: MemoryDatabase, key: TwinKey, updates: UpdateChange[]): void {
  const now = db.clock()
  for (const change of updateRowChanges(key, updates, unsigned)) {
    const row = db.updates.get(change.id)
    if (row?.incarnation !== key.incarnation || row.endedAt !== null) continue
    const { status, attempt, code = null, message = null, told, untold, afresh, arrived, ended, tell, from } = change
    if (status !== undefined && status !== row.status) row.statusAt = now
    if (status !== undefined) Object.assign(row, { status, code, message })
    if (tell && row.sentAt !== null) row.cancelAt = now
    if (afresh) Object.assign(row, { toldAt: null, sentAt: null, sends: 0, answeredAt: null, progress: null })
    if (arrived) row.progress = null
    if (told) Object.assign(row, { ...told, until: Date.parse(told.until), linkUntil: Date.parse(told.linkUntil) })
    else if (untold) Object.assign(row, { job: null, link: null })
    if (ended) row.endedAt = now
    row.attempt = attempt ?? row.attempt
    if (from) Object.assign(row, { fromVersion: change.fromVersion ?? null, fromSha256: change.fromSha256 ?? null })
  }
}

function applyAlarms(db: MemoryDatabase, { incarnation, tenant, device }: TwinKey, alarms: AlarmChange[]): void {
  if (alarms.length === 0) return
  const rows = db.alarms.get(incarnation) ?? new Map()
  db.alarms.set(incarnation, rows)
  for (const change of alarms) if (!rows.get(change.n)?.clearedAt) rows.set(change.n, { incarnation, tenant, device, ...change })
}

function standing(db: MemoryDatabase, key: TwinKey, revision: number | undefined): DecisionOutcome {
  const device = find(db, key)
  if (device === undefined) return { outcome: 'gone' }
  const state = device.state === null ? null : upgrade(JSON.parse(device.state) as TwinState)
  if (state) db.answer(key.incarnation, device.decidedSeq, JSON.stringify(wakeOf(state)))
  return device.revision === revision ? { outcome: 'written' } : { outcome: 'ahead', state }
}

function find(db: MemoryDatabase, { tenant, device, incarnation }: TwinKey): DeviceRecord | undefined {
  const record = db.devices.get(incarnation)
  return record?.tenant === tenant && record.device === device ? record : undefined
}
