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
import { signJob } from '../support/director.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { releasedUpdate } from '../support/updates.ts'

let database: TestDatabase
let key: TwinKey
let nextFailure: Error | undefined
let activities: TwinActivities
const announced: number[] = []

beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const [row] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash) values ('demo', 'd', 'thermostat', '1', '\\x01') returning incarnation`
  key = { tenant: 'demo', device: 'd', incarnation: row.incarnation }
  activities = createActivities({
    store: failingOnce(createDecisionStore(sql, { signJob })),
    announcer: { announce: (of) => announced.push(of) },
    log: pino({ level: 'silent' }),
  })
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
    sentCommands: (...args) => may(() => store.sentCommands(...args)),
    sentUpdate: (...args) => may(() => store.sentUpdate(...args)),
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

test('sentCommands', async () => {
  const { sql } = database
  const ids = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`)
  for (const id of ids)
    await sql`
      insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at, sent_at, ended_at)
      values (${id}, 'demo', ${key.incarnation}, 'd', 'unlock', 'admin', false, 1000, 1, now() + interval '1 hour',
        case when ${id} <> ${ids[0]!} then now() end, case when ${id} = ${ids[2]!} then now() end)`
  nextFailure = new Error('connection lost')
  await expect(activities.sentCommands(key)).rejects.toThrow('connection lost')
  expect(await activities.sentCommands(key)).toEqual([ids[1]])
  expect(await activities.sentCommands(key)).toEqual([ids[1]])
  expect(await activities.sentCommands({ ...key, device: 'other' })).toBeNull()
})

test('sentUpdate', async () => {
  const id = '00000000-0000-4000-8000-000000000001'
  nextFailure = new Error('connection lost')
  await expect(activities.sentUpdate(key, id)).rejects.toThrow('connection lost')
  expect(await activities.sentUpdate(key, id)).toEqual({ id, sentAt: null, status: 'scheduled', statusAt: null, lastSeenAt: null })
  expect(await activities.sentUpdate({ ...key, device: 'other' }, id)).toBeNull()
  const { id: told } = await releasedUpdate(database.sql, key)
  await database.sql`update updates set told_at = to_timestamp(1000), sent_at = to_timestamp(2000), sends = 2, status = 'notified' where id = ${told}`
  expect(await activities.sentUpdate(key, told)).toEqual({
    id: told,
    sentAt: 1_000_000,
    status: 'notified',
    statusAt: expect.any(Number),
    lastSeenAt: null,
  })
})

test('the bridges are told after a decision that concerns its device, and only then', async () => {
  const effects = {
    released: [],
    ended: [],
    late: [],
    updates: [],
    alarms: [],
    wish: { version: 1, body: { version: 1, state: { a: 1 } }, answered: false, retryMs: 1_000 },
  }
  const [{ revision } = { revision: 0 }] = await database.sql<[{ revision: number }]>`
    select revision from devices where incarnation = ${key.incarnation}`
  const decision = { ...decisionOf(key, { ...initialState(), revision }, 2, []), effects }
  announced.length = 0
  expect(await activities.writeDecision(decision)).toEqual({ outcome: 'written' })
  expect(announced).toEqual([key.incarnation])
  expect(await activities.writeDecision(decision)).toMatchObject({ outcome: 'ahead' })
  expect(announced).toEqual([key.incarnation])
})
