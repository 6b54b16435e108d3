/** What is pending of devices, on real Postgres. */
import { afterAll, beforeAll } from 'vitest'
import { createDownlinkStore } from '../../infra/postgres/downlink.ts'
import { cancelCommand, command, commandRow, registerDevice, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { downlinkStoreSuite } from './downlink-store.ts'

let database: TestDatabase
let named = 0
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database?.drop())

downlinkStoreSuite('what is pending, in Postgres', async () => {
  const { sql } = database
  const devices = new Map<number, TestDevice>()
  return {
    store: createDownlinkStore(sql),
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
    },
    row: (id) => commandRow(sql, id),
  }
})
