/** The comparison after a chaos run must find what it is for: here each kind of damage is done by hand to a true record. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AcknowledgedMessage } from '../../infra/simulator/report.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { createFindings, verify } from './verify.ts'
import { type TwinDocument, verifyOnline } from './verify-twins.ts'

const DEVICE = 'sim-pump-0001'
const NOW = Math.floor(Date.now() / 1000) * 1000
const iso = (ms: number) => new Date(ms).toISOString()
const MARK = `${DEVICE}-run1-1`

let database: TestDatabase
let folder: string
let ledger: Ledger
let twin: TwinDocument
let incarnation: number

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'castor-verify-'))
  ledger = createLedger(join(folder, 'acknowledged.ndjson'))
  for (const message of acknowledged()) ledger.add(message)
  ledger.close()
})

afterAll(async () => {
  await database?.drop()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(async () => {
  const { sql } = database
  await sql`truncate tenants, devices, properties, telemetry, twin_history, dead_letters cascade`
  await sql`insert into tenants (tenant) values ('demo')`
  const [device] = await sql`insert into devices (tenant, device, model, model_version, token_hash, state)
    values ('demo', ${DEVICE}, 'pump', '1.0.0', '\\x01', ${JSON.stringify({ settings: { presenceTimeoutMs: 60_000 } })}) returning incarnation`
  incarnation = device!.incarnation
  await sql`insert into properties (tenant, name) values ('demo', 'flow'), ('demo', 'running')`
  const store = (name: string, ts: number, number: number | null, other: string | null, id: string | null) => sql`
    insert into telemetry (incarnation, property, ts, received_at, number, other, message_id)
    select ${incarnation}, property, ${iso(ts)}, ${iso(NOW)}, ${number}, ${other}, ${id} from properties where name = ${name}`
  await store('flow', NOW - 5_000, 1.5, null, null)
  await store('running', NOW - 5_000, null, 'true', null)
  await store('flow', NOW, 2.5, null, 'wrong-clock')
  await history('device-event', { name: 'leak', ts: NOW - 4_000, data: {} }, { messageId: 'leak-1' })
  await sql`insert into dead_letters (at, tenant, device, incarnation, topic, reason, detail, size, raw)
    values (now(), 'demo', ${DEVICE}, ${incarnation}, 'telemetry', 'json', 'broken', 10, ${Buffer.from(`${MARK} is no JSON`)})`
  twin = {
    id: DEVICE,
    presence: { status: 'online', since: iso(NOW) },
    telemetry: {
      flow: { value: 2.5, ts: iso(NOW), receivedAt: iso(NOW) },
      running: { value: true, ts: iso(NOW - 5_000), receivedAt: iso(NOW) },
    },
  }
})

test('a true record has no findings', async () => {
  expect(await found()).toEqual([])
})

test.each<[string, () => unknown]>([
  ['acknowledged value is missing', () => database.sql`delete from telemetry where other is not null`],
  ['value differs', () => database.sql`update telemetry set number = 1.6 where number = 1.5`],
  ['acknowledged value with a wrong clock is missing', () => database.sql`delete from telemetry where message_id is not null`],
  [
    'counted twice',
    () => database.sql`insert into telemetry (incarnation, property, ts, received_at, number, message_id)
      select incarnation, property, ts - interval '10 ms', received_at, number, message_id from telemetry where message_id is not null`,
  ],
  ['acknowledged device event is missing in the history', () => database.sql`delete from twin_history`],
  ['device event counted twice', () => history('device-event', { name: 'leak', ts: NOW - 4_000, data: {} }, { messageId: 'leak-1' })],
  ['device event has another time', () => database.sql`update twin_history set event = replace(event, '"ts":', '"ts":1')`],
  ['garbage without a dead letter', () => database.sql`delete from dead_letters`],
  ['a good message is a dead letter', () => database.sql`update dead_letters set raw = '{"flow": 2}'`],
  [
    'twin does not show the newest value',
    () => {
      twin.telemetry.flow!.value = 9
    },
  ],
  ['twin is older than what was acknowledged', () => database.sql`update telemetry set ts = ts - interval '1 minute'`],
  [
    'decided silent though it spoke',
    () => history('presence-changed', { after: 'offline', reason: 'silence' }, { by: 'lane' }, NOW + 1_000),
  ],
])('finds: %s', async (what, damage) => {
  await damage()
  expect((await found()).some((line) => line.startsWith(`${what}:`))).toBe(true)
})

test('finds: shown offline though it spoke', async () => {
  twin.presence.status = 'offline'
  const findings = createFindings()
  await verifyOnline({ twin: async () => twin, incarnations: new Map([[DEVICE, incarnation]]) }, findings)
  expect(findings.count).toBe(1)
})

async function found(): Promise<string[]> {
  const { findings } = await verify({ sql: database.sql, tenant: 'demo', devices: [DEVICE], ledger, twin: async () => twin })
  return findings.lines()
}

let revision = 0
async function history(kind: string, event: object, cause: object, at = NOW): Promise<void> {
  revision += 1
  await database.sql`insert into twin_history (incarnation, revision, n, at, kind, event, cause)
    values (${incarnation}, ${revision}, 0, ${iso(at)}, ${kind}, ${JSON.stringify(event)}, ${JSON.stringify(cause)})`
}

function acknowledged(): AcknowledgedMessage[] {
  const common = { device: DEVICE, times: 'own' as const, sentAt: NOW - 4_900, ackedAt: NOW, attempts: 1 }
  return [
    { ...common, kind: 'telemetry', ts: NOW - 5_000, values: { flow: 1.5, running: true } },
    { ...common, kind: 'telemetry', ts: NOW - 100, times: 'receipt', id: 'wrong-clock', values: { flow: 2.5 } },
    { ...common, kind: 'event', name: 'leak', id: 'leak-1', ts: NOW - 4_000, values: { data: {} } },
    { ...common, kind: 'garbage', ts: NOW, mark: MARK, values: {} },
  ]
}
