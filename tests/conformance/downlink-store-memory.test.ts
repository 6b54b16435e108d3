/** What is pending, in memory, which the simulation uses, held to the suite of the one in Postgres. */
import { MemoryDatabase } from '../support/memory-database.ts'
import { DEVICE_URL, memoryDownlinkStore } from '../support/memory-downlink-store.ts'
import { downlinkStoreSuite } from './downlink-store.ts'

downlinkStoreSuite('what is pending, in memory', async () => {
  let now = Date.now()
  const db = new MemoryDatabase(() => now)
  const { claim, list, whenDue, cancelsTold } = memoryDownlinkStore(db)
  let named = 0
  return {
    store: {
      claim: async (asks) => claim(asks),
      list: async (incarnations) => list(incarnations),
      whenDue: async (asks) => whenDue(asks),
      cancelsTold: async (ids) => cancelsTold(ids),
    },
    register: async () => db.register('demo', `d-${++named}`, 'thermostat', '1.0.0').incarnation,
    wish: async (incarnation, { version = 1, retryMs = 60_000, answered = false } = {}) => {
      const body = JSON.stringify({ version, state: { targetTemperature: 20 } })
      db.wishes.set(incarnation, { incarnation, version, body, answered, retryMs, sentVersion: null, sentAt: null, attempts: 0 })
    },
    command: async (incarnation, { repeatable = true, retryMs = 60_000, maxAttempts = 10, expiresInMs = 60_000, released = true } = {}) => {
      const id = `00000000-0000-4000-8000-${String(++named).padStart(12, '0')}`
      const of = { id, tenant: 'demo', incarnation, device: 'd', name: 'identify', input: null, requestedBy: 'test' }
      const command = db.command({ ...of, repeatable, retryMs, maxAttempts, expiresAt: now + expiresInMs })
      if (released) command.releasedAt = now
      return id
    },
    acknowledge: async (id) => {
      Object.assign(db.commands.get(id)!, { status: 'acknowledged', acknowledgedAt: now })
    },
    cancel: async (id) => {
      const command = db.commands.get(id)!
      Object.assign(command, { status: 'cancelled', endedAt: now, cancelAt: command.sentAt === null ? null : now })
    },
    pass: async (incarnation, ms) => {
      now++
      const wish = db.wishes.get(incarnation)
      for (const row of [...(wish ? [wish] : []), ...db.commandsOf(incarnation), ...db.updatesOf(incarnation)])
        if (row.sentAt !== null) row.sentAt -= ms
    },
    row: async (id) => {
      const { status, attempts, cancelSentAt } = db.commands.get(id)!
      return { status, attempts, told: cancelSentAt !== null }
    },
    update: async (incarnation, { id = `00000000-0000-4000-8000-${String(++named).padStart(12, '0')}`, untilMs = 60_000 } = {}) => {
      const firmware = `f-${id}`
      const manifest = { signed: firmware }
      db.firmware.set(firmware, { id: firmware, sha256: 'abc', envelope: JSON.stringify(manifest), isUsable: true })
      const of = { id, tenant: 'demo', incarnation, device: 'd', rollout: null, firmware, kind: 'install' as const, requestedBy: 'test' }
      const row = db.updates.get(id) ?? db.update(of)
      const [job, link] = [{ nonce: ++named }, `secret-${named}`]
      const untold = { status: 'scheduled', toldAt: null, sentAt: null, sends: 0, answeredAt: null }
      Object.assign(row, { ...untold, attempt: row.attempt + 1, job: JSON.stringify(job), link, until: now + untilMs })
      return { id, firmware, job, manifest, url: `${DEVICE_URL}/device/v1/firmware/abc?update=${id}&key=${link}` }
    },
    answerUpdate: async (id) => {
      Object.assign(db.updates.get(id)!, { status: 'downloading', answeredAt: now })
    },
    cancelUpdate: async (id) => {
      const update = db.updates.get(id)!
      Object.assign(update, { status: 'cancelled', endedAt: now, job: null, cancelAt: update.sentAt === null ? null : now })
    },
    distrust: async ({ firmware }) => {
      db.firmware.get(firmware)!.isUsable = false
    },
    updateRow: async (id) => {
      const { status, sends, cancelSentAt } = db.updates.get(id)!
      return { status, sends, told: cancelSentAt !== null }
    },
    firstTold: async (id) => db.updates.get(id)!.toldAt,
  }
})
