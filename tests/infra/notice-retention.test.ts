/** What of notices goes with time, and what stays because it is still needed. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { deleteEndedNotices } from '../../infra/postgres/notice-retention.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

const NOW = Date.parse('2026-11-27T06:00:00Z')
const DAY = 86_400_000
const daysAgo = (days: number) => new Date(NOW - days * DAY)

let database: TestDatabase
beforeEach(async () => {
  database = await testDatabase()
  await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  await database.sql`insert into targets (tenant, name, kind, settings) values ('demo', 'ops', 'webhook', '{}')`
})
afterEach(() => database.drop())

async function notice(
  key: string,
  ended: Date | null,
  more: { alarm?: [incarnation: number, n: number]; bundle?: string; endpoint?: number } = {},
) {
  const [incarnation, n] = more.alarm ?? [null, null]
  const [{ number }] = await database.sql<[{ number: number }]>`select number from targets`
  await database.sql`
    insert into notices (tenant, target, endpoint, kind, key, step, incarnation, n, device, status, state, severity, subject, words, facts, since,
      group_key, due_at, bundle, ended_at)
    values ('demo', 'ops', ${more.endpoint ?? number}, 'alarm', ${key}, '0', ${incarnation}, ${n}, '', 'firing', ${ended ? 'sent' : 'waiting'}, 'minor',
      's', 't', '{}', now(), 'g', now(), ${more.bundle ?? null}, ${ended})`
}
const told = (incarnation: number, n: number, ended: Date | null) =>
  database.sql`insert into told_alarms (incarnation, n, alarm, ended_at) values (${incarnation}, ${n}, '{}', ${ended})`
const keys = async () => (await database.sql`select key from notices order by id`).map(({ key }) => key)
const run = () => deleteEndedNotices(database.sql, NOW)

test('notices go 30 days after their end, but those of an alarm that is open stay, and so do those that wait', async () => {
  await told(1, 1, null)
  await told(1, 2, daysAgo(40))
  await notice('old', daysAgo(31))
  await notice('young', daysAgo(29))
  await notice('waits', null)
  await notice('open', daysAgo(90), { alarm: [1, 1] })
  await notice('over', daysAgo(40), { alarm: [1, 2] })
  expect(await run()).toBe(3)
  expect(await keys()).toEqual(['young', 'waits', 'open'])
  expect(await database.sql`select n from told_alarms`).toEqual([{ n: 1 }])
  expect(await run()).toBe(0)
})

test('of a target the newest 20,000 stay', async () => {
  const [{ number }] = await database.sql<[{ number: number }]>`select number from targets`
  await database.sql`
    insert into notices (tenant, target, endpoint, kind, key, step, device, status, state, severity, subject, words, facts, since, group_key, due_at, ended_at)
    select 'demo', 'ops', ${number}, 'alarm', 'k' || n, '0', '', 'firing', 'sent', 'minor', 's', 't', '{}', now(), 'g', now(),
      ${daysAgo(1)}::timestamptz + make_interval(secs => n) from generate_series(1, 20005) n`
  expect(await run()).toBe(5)
  expect((await keys())[0]).toBe('k6')
})

test('messages of which no notice is left go, and so does when a group went out last', async () => {
  const [{ number }] = await database.sql<[{ number: number }]>`select number from targets`
  const [gone, kept] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']
  for (const id of [gone, kept])
    await database.sql`
      insert into notice_bundles (id, target, group_key, state, made_at, ended_at) values (${id}, ${number}, 'g', 'sent', ${daysAgo(3)}, ${daysAgo(3)})`
  await notice('young', daysAgo(3), { bundle: kept })
  await database.sql`insert into notice_groups (target, key, last_at) values (${number}, 'old', ${daysAgo(2)}), (${number}, 'new', ${daysAgo(0.5)})`
  await run()
  expect(await database.sql`select id from notice_bundles`).toEqual([{ id: kept }])
  expect(await database.sql`select key from notice_groups`).toEqual([{ key: 'new' }])
})

test('what waits for a target whose removal did not come to its end fails', async () => {
  await notice('lost', null, { endpoint: 4_711 })
  await notice('waits', null)
  await run()
  expect(await database.sql`select key, state, reason from notices order by id`).toEqual([
    { key: 'lost', state: 'failed', reason: 'Its target was removed' },
    { key: 'waits', state: 'waiting', reason: null },
  ])
})
