/** The decision write in memory, which the simulation uses, held to the suite of the one in Postgres. */
import type { TwinKey } from '../../twin-models/ids.ts'
import { type InboxRecord, MemoryDatabase } from '../support/memory-database.ts'
import { memoryDecisionStore } from '../support/memory-decision-store.ts'
import { decisionStoreSuite, GOODBYE } from './decision-store.ts'

const NOTHING_WAITS: InboxRecord = {
  ...{ lane: 0, lastSeen: 0, connection: null, latest: '{}', pending: null, pendingSince: null, urgent: false },
  ...{ sealed: null, sealedSeq: 0, sealedAt: 0, wake: '{}', clock: null, rules: 0, dueAt: null },
  ...{ features: null, featureStates: null, featureValues: null },
}

decisionStoreSuite('the decision write in memory', async () => {
  const db = new MemoryDatabase(Date.now)
  let named = 0
  return {
    store: memoryDecisionStore(db),
    register: async () => {
      const { tenant, device, incarnation } = db.register('demo', `d-${++named}`, 'thermostat', '1.0.0')
      return { tenant, device, incarnation }
    },
    remove: async ({ incarnation }: TwinKey) => db.remove(incarnation),
    answers: async ({ incarnation }: TwinKey) =>
      [...db.answers.values()]
        .filter((answer) => answer.incarnation === incarnation)
        .map(({ lane, seq, wake }) => ({ lane, seq, wake: JSON.parse(wake) })),
    history: async ({ incarnation }: TwinKey) =>
      (db.history.get(incarnation) ?? []).map((row) => ({ ...row, event: JSON.parse(row.event), cause: JSON.parse(row.cause) })),
    request: async ({ tenant, incarnation }: TwinKey) => {
      const id = `00000000-0000-4000-8000-${String(++named).padStart(12, '0')}`
      db.request(id, tenant, incarnation, 'deliver')
      return id
    },
    answerOf: async (id: string) => {
      const answer = db.requests.get(id)?.answer
      return answer ? JSON.parse(answer) : undefined
    },
    row: async ({ incarnation }: TwinKey) => {
      const device = db.devices.get(incarnation)
      return device && { revision: device.revision, seq: device.decidedSeq, decided: JSON.parse(device.decided) }
    },
    command: async ({ tenant, device, incarnation }, { sent = false } = {}) => {
      const id = `00000000-0000-4000-8000-${String(++named).padStart(12, '0')}`
      const rules = { repeatable: true, retryMs: 1_000, maxAttempts: 5 }
      const expiresAt = Date.now() + 3_600_000
      const made = db.command({ id, tenant, incarnation, device, name: 'identify', input: null, requestedBy: 'admin', expiresAt, ...rules })
      if (sent) Object.assign(made, { sentAt: Date.now(), status: 'sent' })
      return id
    },
    commandOf: async (id) => {
      const { status, releasedAt, endedAt, output, code, cancelAt, late } = db.commands.get(id)!
      const shown = { status, released: releasedAt !== null, ended: endedAt !== null, code, tell: cancelAt !== null }
      return { ...shown, output: output && JSON.parse(output), late: late && JSON.parse(late) }
    },
    wish: async ({ incarnation }) => {
      const row = db.wishes.get(incarnation)
      return (
        row && {
          version: row.version,
          body: row.body && JSON.parse(row.body),
          answered: row.answered,
          retryMs: row.retryMs,
          attempts: row.attempts,
        }
      )
    },
    wishSent: async ({ incarnation }) => {
      const row = db.wishes.get(incarnation)!
      Object.assign(row, { attempts: 1, sentAt: Date.now(), sentVersion: row.version })
    },
    update: async ({ tenant, device, incarnation }) => {
      const id = `00000000-0000-4000-8000-${String(++named).padStart(12, '0')}`
      db.update({ id, tenant, incarnation, device, rollout: null, firmware: 'f', kind: 'install', requestedBy: 'admin' })
      return id
    },
    updateOf: async (id) => {
      const { job, sentAt, answeredAt, progress, endedAt, cancelAt, fromVersion, fromSha256, ...row } = db.updates.get(id)!
      const times = { sent: sentAt !== null, answered: answeredAt !== null, ended: endedAt !== null, tell: cancelAt !== null }
      const parsed = { job: job && JSON.parse(job), progress: progress && JSON.parse(progress) }
      return { ...row, ...times, ...parsed, from: [fromVersion, fromSha256] }
    },
    alarms: async ({ incarnation }) => [...(db.alarms.get(incarnation)?.values() ?? [])].sort((a, b) => a.n - b.n),
    updateHeard: async (id) => {
      const heard = { toldAt: 1_000_000, sentAt: 2_000_000, sends: 2, answeredAt: Date.now(), status: 'downloading', progress: '40' }
      const row = Object.assign(db.updates.get(id)!, heard, { statusAt: 3_000_000 })
      db.inbox.set(row.incarnation, { ...NOTHING_WAITS, ...GOODBYE, lastSeen: 4_000_000 })
    },
  }
})
