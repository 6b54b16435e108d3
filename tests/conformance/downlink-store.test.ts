/** What is pending of devices, on real Postgres. */
import { afterAll, beforeAll } from 'vitest'
import { createDownlinkStore } from '../../infra/postgres/downlink.ts'
import { cancelCommand, command, commandRow, registerDevice, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { cancelUpdate, firmware, releaseUpdate, scheduledUpdate, type TestFirmware, updateRow } from '../support/updates.ts'
import { downlinkStoreSuite } from './downlink-store.ts'

const DEVICE_URL = 'https://devices.example.com/castor'

let database: TestDatabase
let named = 0
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database?.drop())

downlinkStoreSuite('what is pending, in Postgres', async () => {
  const { sql } = database
  const devices = new Map<number, TestDevice>()
  const artifacts = new Map<string, TestFirmware>()
  return {
    store: createDownlinkStore(sql, DEVICE_URL),
    register: async () => {
      const device = await registerDevice(database, `c-${++named}`)
      devices.set(device.incarnation, device)
      return device.incarnation
    },
    wish: async (incarnation, { version = 1, retryMs = 60_000, answered = false } = {}) => {
      const body = JSON.stringify({ version, state: { targetTemperature: 20 } })
      await sql`
        insert into wishes (incarnation, version, body, answered, retry_ms)
        values (${incarnation}, ${version}, ${body}, ${answered}, ${retryMs})
        on conflict (incarnation) do update set version = excluded.version, body = excluded.body, answered = excluded.answered,
          retry_ms = excluded.retry_ms, sent_at = null, attempts = 0`
    },
    command: (incarnation, given) => command(sql, devices.get(incarnation)!, given),
    acknowledge: async (id) => {
      await sql`update commands set status = 'acknowledged', acknowledged_at = now() where id = ${id}`
    },
    cancel: (id) => cancelCommand(sql, id),
    pass: async (incarnation, ms) => {
      const ago = sql`make_interval(secs => ${ms / 1000}::float8)`
      await sql`update wishes set sent_at = sent_at - ${ago} where incarnation = ${incarnation}`
      await sql`update commands set sent_at = sent_at - ${ago} where incarnation = ${incarnation}`
      await sql`update updates set sent_at = sent_at - ${ago} where incarnation = ${incarnation}`
    },
    row: (id) => commandRow(sql, id),
    update: async (incarnation, { id: known, untilMs } = {}) => {
      const device = devices.get(incarnation)!
      const of = artifacts.get(known ?? '') ?? (await firmware(sql))
      const id = known ?? (await scheduledUpdate(sql, device, of)).id
      artifacts.set(id, of)
      const { job, link } = await releaseUpdate(sql, device, { id, of, attempt: known ? 2 : 1, ...(untilMs !== undefined && { untilMs }) })
      const url = `${DEVICE_URL}/device/v1/firmware/${of.sha256}?update=${id}&key=${link}`
      return { id, firmware: of.id, job, manifest: of.envelope, url }
    },
    answerUpdate: async (id) => {
      await sql`update updates set status = 'downloading', answered_at = now() where id = ${id}`
    },
    cancelUpdate: (id) => cancelUpdate(sql, id),
    distrust: async ({ firmware }) => {
      await sql`update firmware set withdrawn_at = now() where id = ${firmware}`
    },
    updateRow: (id) => updateRow(sql, id),
    firstTold: async (id) => {
      const [row] = await sql<
        [{ at: number | null }]
      >`select extract(epoch from told_at)::float8 * 1000 as at from updates where id = ${id}`
      return row.at
    },
  }
})
