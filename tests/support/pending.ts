/** For tests of what is pending over HTTP: one bridge and one database a file, devices of their own, and requests that end with their test. */
import { afterAll, afterEach, beforeAll } from 'vitest'
import { registerDevice, startTestBridge, type TestBridge } from './bridge.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'

export function bridgeOfFile(prefix: string) {
  let database: TestDatabase
  let bridge: TestBridge
  let serial = 0
  let leaving = new AbortController()
  const leave = () => {
    leaving.abort()
    leaving = new AbortController()
  }

  beforeAll(async () => {
    database = await testDatabase()
    bridge = await startTestBridge(database.url)
  })
  afterEach(leave)
  afterAll(async () => {
    await bridge?.stop()
    await database?.drop()
  })

  return {
    get sql() {
      return database.sql
    },
    get databaseUrl() {
      return database.url
    },
    get bridge() {
      return bridge
    },
    /** Aborted when the test ends, or by `leave`: whoever asks goes. */
    get leaving() {
      return leaving.signal
    },
    leave,
    newDevice: () => registerDevice(database, `${prefix}-${++serial}`),
  }
}
