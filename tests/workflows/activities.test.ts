/** Each activity run twice and failed once: what a worker that dies or a task that runs again does to it. */
import { ApplicationFailure } from '@temporalio/common'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createActivities, type TwinActivities } from '../../activities/create-activities.ts'
import type { DecisionStore } from '../../activities/ports.ts'
import { createDecisionStore } from '../../infra/postgres/decision-store.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import { decisionOf, settings } from '../conformance/decision-store.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

let database: TestDatabase
let key: TwinKey
let nextFailure: Error | undefined
let activities: TwinActivities

beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const [row] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash) values ('demo', 'd', 'thermostat', '1', '\\x01') returning incarnation`
  key = { tenant: 'demo', device: 'd', incarnation: row.incarnation }
  activities = createActivities({ store: failingOnce(createDecisionStore(sql)), log: pino({ level: 'silent' }) })
})
afterAll(() => database.drop())

/** Fails before it acts, when told to. */
function failingOnce(store: DecisionStore): DecisionStore {
  const may = async <T>(run: () => Promise<T>): Promise<T> => {
    const failure = nextFailure
    nextFailure = undefined
    if (failure) throw failure
    return run()
  }
  return {
    write: (decision) => may(() => store.write(decision)),
    confirm: (...args) => may(() => store.confirm(...args)),
    lastSeen: (...args) => may(() => store.lastSeen(...args)),
  }
}

test('writeDecision', async () => {
  const decision = {
    ...decisionOf(key, initialState(), 1, [{ kind: 'configured', at: 1, settings }]),
    acceptedAt: Date.now(),
    trace: TRACE,
  }
  nextFailure = new Error('connection lost')
  await expect(activities.writeDecision(decision)).rejects.toThrow('connection lost')
  expect(await activities.writeDecision(decision)).toEqual({ outcome: 'written' })
  expect(await activities.writeDecision(decision)).toEqual({ outcome: 'ahead', state: decision.state })
  const [row] = await database.sql`select count(*)::int as n from twin_history where incarnation = ${key.incarnation}`
  expect(row!.n).toBe(1)
})

test('confirmDecision', async () => {
  nextFailure = new Error('connection lost')
  await expect(activities.confirmDecision(key, 1)).rejects.toThrow('connection lost')
  expect(await activities.confirmDecision(key, 1)).toEqual({ outcome: 'written' })
  expect(await activities.confirmDecision(key, 1)).toEqual({ outcome: 'written' })
})

test('lastSeen', async () => {
  nextFailure = new Error('connection lost')
  await expect(activities.lastSeen(key)).rejects.toThrow('connection lost')
  expect(await activities.lastSeen(key)).toEqual(await activities.lastSeen(key))
})

test('what the catalogue calls not retryable is not retried, everything else is', async () => {
  nextFailure = new CastorError('invalid', 'cannot be stored')
  await expect(activities.lastSeen(key)).rejects.toMatchObject({ nonRetryable: true, type: 'invalid', message: 'cannot be stored' })
  nextFailure = new CastorError('unavailable', 'later')
  await expect(activities.lastSeen(key)).rejects.not.toBeInstanceOf(ApplicationFailure)
})

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
