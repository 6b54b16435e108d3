import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { readFleet } from '../../infra/postgres/fleet.ts'
import { type Housekeeping, startHousekeeping } from '../../infra/postgres/housekeeping.ts'
import { finishDrops, listPartitions } from '../../infra/postgres/old-partitions.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { limitsFor, type RetentionLimits, retain } from '../../infra/postgres/retention.ts'
import { alarmRow, clearedAt, insertAlarms } from '../support/alarms.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { firmware, scheduledUpdate } from '../support/updates.ts'
import { until } from '../support/wait.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NOW = Date.parse('2026-11-21T06:17:30Z')
const log = pino({ level: 'silent' })

let database: TestDatabase
beforeEach(async () => {
  database = await testDatabase()
  await ensurePartitions(database.sql, new Date(NOW))
})
afterEach(() => database.drop())

const run = (limits: RetentionLimits = limitsFor(), now = NOW) => retain({ sql: database.sql, log, limits, now })
const names = async (table: string) => (await listPartitions(database.sql, table)).map(({ name }) => name)

describe('the ingest log', () => {
  /** Partition 06:00 holds entries of streams 1 and 2 up to 10, partition 06:10 those beyond. */
  async function write(stream: number, seq: number, at: string): Promise<void> {
    await database.sql`insert into ingest_log (stream, seq, lane, at, heads, body) values (${stream}, ${seq}, 0, ${at}, '[]', '')`
  }
  async function cursors(byLane: (lane: number) => object): Promise<void> {
    for (let lane = 0; lane < 16; lane++)
      await database.sql`update lanes set cursors = ${JSON.stringify(byLane(lane))} where lane = ${lane}`
  }
  const OLD = 'ingest_log_20261121t0600'
  /** When partition 06:00 was over for an hour. */
  const LATER = NOW + 55 * MINUTE

  beforeEach(async () => {
    await database.sql`insert into streams (bridge) values ('a'), ('b')`
    for (const stream of [1, 2]) {
      await write(stream, 10, '2026-11-21T06:09:59Z')
      await write(stream, 11, '2026-11-21T06:15:00Z')
    }
  })

  test('a partition goes when every lane has passed every entry of it', async () => {
    await cursors(() => ({ 1: 10, 2: 11 }))
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).not.toContain(OLD)
    expect(await database.sql`select stream, seq from ingest_log order by stream`).toEqual([
      { stream: 1, seq: 11 },
      { stream: 2, seq: 11 },
    ])
  })

  test.each<[string, (lane: number) => object]>([
    ['one lane is one entry behind', (lane) => ({ 1: lane === 7 ? 9 : 11, 2: 11 })],
    ['one lane has no cursor of a stream', (lane) => (lane === 7 ? { 1: 11 } : { 1: 11, 2: 11 })],
  ])('it stays while %s', async (_, byLane) => {
    await cursors(byLane)
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).toContain(OLD)
  })

  test('it stays while a closed stream is not read to its end, and goes when it is', async () => {
    await database.sql`update streams set closed_at = ${new Date(NOW)} where stream = 2`
    await cursors(() => ({ 1: 11, 2: 9 }))
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).toContain(OLD)
    await cursors(() => ({ 1: 11, 2: -1 }))
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).not.toContain(OLD)
  })

  test('it stays while an open stream may still write into it', async () => {
    await cursors(() => ({ 1: 11, 2: 11 }))
    await database.sql`insert into streams (bridge) values ('just opened')`
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).toContain(OLD)
    await write(3, 1, '2026-11-21T06:16:00Z')
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).not.toContain(OLD)
  })

  test('the partitions that are always made stay: nothing is dropped only to be made again', async () => {
    await cursors(() => ({ 1: 99, 2: 99 }))
    await run(limitsFor(), LATER)
    for (const minutes of [0, 1, 9]) expect(await run(limitsFor(), LATER + minutes * MINUTE)).not.toHaveProperty('ingest_log partitions')
  })

  test('the partition of now stays, whatever the cursors', async () => {
    await cursors(() => ({ 1: 99, 2: 99 }))
    await run(limitsFor(), LATER)
    expect(await names('ingest_log')).toContain('ingest_log_20261121t0610')
  })

  test('what is passed is kept for an hour for live streams that come back, unless the log is too large', async () => {
    await cursors(() => ({ 1: 11, 2: 11 }))
    await run(limitsFor(), LATER - 3 * MINUTE)
    expect(await names('ingest_log')).toContain(OLD)
    const limits = limitsFor()
    const bytes = (await listPartitions(database.sql, 'ingest_log')).reduce((sum, partition) => sum + partition.bytes, 0)
    await run({ ...limits, log: { ...limits.log, bytes } }, LATER - 3 * MINUTE)
    expect(await names('ingest_log')).toContain(OLD)
    // A little over the limit: the oldest is enough.
    await run({ ...limits, log: { ...limits.log, bytes: bytes - 1 } }, LATER - 3 * MINUTE)
    expect(await names('ingest_log')).not.toContain(OLD)
    expect(await names('ingest_log')).toContain('ingest_log_20261121t0610')
  })

  test('writing goes on while a partition is dropped', async () => {
    await cursors(() => ({ 1: 11, 2: 11 }))
    await database.sql.begin(async (tx) => {
      await tx`insert into ingest_log (stream, seq, lane, at, heads, body) values (1, 12, 0, '2026-11-21T06:16:00Z', '[]', '')`
      const dropping = run(limitsFor(), LATER)
      // It waits for this transaction, and lets others write meanwhile.
      await until(async () => (await waitingFor('detach')) > 0, 'the detach waits')
      await write(2, 12, '2026-11-21T06:16:00Z')
      void dropping.catch(() => {})
    })
    await until(async () => !(await names('ingest_log')).includes(OLD), 'the partition is gone')
  })

  test('a stream is forgotten an hour after all lanes read it to its end', async () => {
    await database.sql`update streams set closed_at = ${new Date(NOW - 61 * MINUTE)}`
    await cursors((lane) => ({ 1: -1, 2: lane === 3 ? 11 : -1 }))
    await run()
    expect(await database.sql`select stream from streams`).toEqual([{ stream: 2 }])
  })
})

describe('bounds by age and by size', () => {
  const small = (table: 'telemetry' | 'dead_letters' | 'message_ids', bytes: number): RetentionLimits => {
    const limits = limitsFor()
    return { ...limits, bytes: { ...limits.bytes, [table]: bytes } }
  }

  test.each<[string, number]>([
    ['telemetry', 30],
    ['dead_letters', 30],
    ['message_ids', 7],
    ['twin_history', 365],
  ])('%s is kept for %d days', async (table, days) => {
    await ensurePartitions(database.sql, new Date(NOW - (days + 10) * DAY))
    await run()
    const partitions = await listPartitions(database.sql, table)
    expect(partitions[0]!.to).toBeGreaterThan(NOW - days * DAY)
    expect(partitions.some(({ from, to }) => from <= NOW && NOW < to)).toBe(true)
  })

  test('the oldest telemetry goes when it takes too much, never that of today', async () => {
    await fillTelemetry(NOW - 3 * DAY)
    await fillTelemetry(NOW - 2 * DAY)
    await fillTelemetry(NOW)
    const sizes = new Map((await listPartitions(database.sql, 'telemetry')).map(({ name, bytes }) => [name, bytes]))
    const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0)
    const done = await run(small('telemetry', total - 1))
    expect(done).toMatchObject({ 'telemetry partitions by size': 1 })
    expect(await daysWithTelemetry()).toEqual(['2026-11-19', '2026-11-21'])
    // Late readings of that day still find their place.
    expect(await names('telemetry')).toContain('telemetry_20261118')
    await run(small('telemetry', 1))
    expect(await daysWithTelemetry()).toEqual(['2026-11-21'])
  })

  test('a flood of dead letters loses its oldest, within a day too', async () => {
    await database.sql`
      insert into dead_letters (at, tenant, device, incarnation, topic, reason, detail, size, raw)
      select ${new Date(NOW)}, 'demo', 't-1', 1, 't', 'invalid-json', 'd', 700, convert_to(repeat(md5(n::text), 22), 'UTF8')
      from generate_series(1, 1000) as n`
    await run(small('dead_letters', 500_000))
    const [row] = await database.sql`select count(*)::int as count, max(id)::int as newest, min(id)::int as oldest from dead_letters`
    expect(row).toEqual({ count: 449, newest: 1000, oldest: 552 })
  })

  async function fillTelemetry(day: number): Promise<void> {
    await database.sql`
      insert into telemetry (incarnation, property, ts, received_at, number)
      select n, 1, ${new Date(day)}, ${new Date(day)}, n from generate_series(1, 2000) as n`
  }

  async function daysWithTelemetry(): Promise<string[]> {
    const rows = await database.sql<Array<{ day: string }>>`
      select distinct to_char(ts at time zone 'UTC', 'YYYY-MM-DD') as day from telemetry order by 1`
    return rows.map(({ day }) => day)
  }
})

describe('rows', () => {
  test('what was answered, told or said long enough ago goes, and nothing else', async () => {
    const at = (ms: number) => new Date(NOW - ms)
    const { sql } = database
    await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
    await sql`insert into twin_requests (id, tenant, incarnation, lane, kind, created_at, answered_at) values
      (gen_random_uuid(), 'demo', 1, 1, 'old answered', ${at(8 * DAY)}, ${at(8 * DAY)}),
      (gen_random_uuid(), 'demo', 1, 1, 'old waiting', ${at(8 * DAY)}, null),
      (gen_random_uuid(), 'demo', 1, 1, 'new', ${at(DAY)}, ${at(DAY)})`
    await sql`insert into removed_devices (incarnation, tenant, device, lane, ended_at) values
      (1, 'demo', 'a', 1, ${at(25 * 60 * MINUTE)}), (2, 'demo', 'b', 2, ${at(23 * 60 * MINUTE)}), (3, 'demo', 'c', 3, null)`
    await sql`insert into device_errors (stream, incarnation, body, at) values (1, 1, 'old', ${at(61_000)}), (1, 1, 'new', ${at(59_000)}),
      (0, 1, 'old, to be asked for', ${at(11 * MINUTE)}), (0, 1, 'to be asked for', ${at(9 * MINUTE)})`
    const device = { tenant: 'demo', device: 'a', incarnation: 1 }
    const of = await firmware(sql)
    const [old, recent, open] = [
      await scheduledUpdate(sql, device, of),
      await scheduledUpdate(sql, device, of),
      await scheduledUpdate(sql, device, of),
    ]
    await sql`update updates set ended_at = ${at(31 * DAY)} where id = ${old.id}`
    await sql`update updates set ended_at = ${at(29 * DAY)} where id = ${recent.id}`
    await sql`update updates set created_at = ${at(31 * DAY)} where id = ${open.id}`
    expect(await run()).toMatchObject({ twin_requests: 1, removed_devices: 1, device_errors: 2, updates: 1 })
    expect(await sql`select id from updates order by number`).toEqual([{ id: recent.id }, { id: open.id }])
    expect(await sql`select kind from twin_requests order by kind`).toEqual([{ kind: 'new' }, { kind: 'old waiting' }])
    expect(await sql`select incarnation from removed_devices order by 1`).toEqual([{ incarnation: 2 }, { incarnation: 3 }])
    expect(await sql`select body from device_errors order by id`).toEqual([{ body: 'new' }, { body: 'to be asked for' }])
  })
})

test('rollouts go a year after they ended, with their devices', async () => {
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const { id } = await firmware(sql)
  const ended = async (days: number | null) => {
    const at = days === null ? null : new Date(NOW - days * DAY)
    const [row] = await sql<[{ id: string }]>`
      insert into rollouts (id, tenant, name, firmware, spec, requested_by, ended_at)
      select gen_random_uuid(), tenant, ${String(days)}, id, '{}', 'ann', ${at} from firmware where id = ${id} returning id`
    await sql`insert into rollout_targets (rollout, number, wave, incarnation, device) select ${row.id}::uuid, n, 0, n, 'd' from generate_series(1, 3) n`
  }
  for (const days of [366, 364, null]) await ended(days)
  expect(await run()).toMatchObject({ rollouts: 4 })
  expect(await sql`select name from rollouts order by name`).toEqual([{ name: '364' }, { name: 'null' }])
  expect(await sql`select sum(devices)::int as devices from rollout_counts`).toEqual([{ devices: 6 }])
})

test('alarms go 90 days after they were cleared', async () => {
  const { sql } = database
  const alarm = (n: number, days: number | null) => alarmRow({ n, raisedAt: NOW - 400 * DAY, ...(days && clearedAt(NOW - days * DAY)) })
  await insertAlarms(sql, { tenant: 'demo', device: 'a', incarnation: 1 }, alarm(1, 91), alarm(2, 89), alarm(3, null))
  expect(await run()).toMatchObject({ alarms: 1 })
  expect(await sql`select n from alarms order by n`).toEqual([{ n: 2 }, { n: 3 }])
})

test('an update whose end its rollout is yet to see stays', async () => {
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const artifact = await firmware(sql)
  const [seen, unseen] = [
    await scheduledUpdate(sql, { tenant: 'demo', device: 'a', incarnation: 1 }, artifact),
    await scheduledUpdate(sql, { tenant: 'demo', device: 'a', incarnation: 1 }, artifact),
  ]
  await sql`update updates set ended_at = ${new Date(NOW - 31 * DAY)} where id in (${seen.id}, ${unseen.id})`
  const [row] = await sql<[{ id: string }]>`
    insert into rollouts (id, tenant, name, firmware, spec, requested_by)
    select gen_random_uuid(), tenant, 'halted', id, '{}', 'ann' from firmware where id = ${artifact.id} returning id`
  await sql`
    insert into rollout_targets (rollout, number, wave, incarnation, device, "update", status) values
      (${row.id}, 1, 0, 1, 'a', ${seen.id}, 'healthy'), (${row.id}, 2, 0, 2, 'b', ${unseen.id}, 'underway')`
  expect(await run()).toMatchObject({ updates: 1 })
  expect(await sql`select id from updates where id in (${seen.id}, ${unseen.id})`).toEqual([{ id: unseen.id }])
})

describe('webhooks', () => {
  beforeEach(async () => {
    await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  })
  /** One that stands at this position. */
  async function webhook(position: number): Promise<number> {
    const [row] = await database.sql<[{ number: number }]>`
      insert into webhooks (id, tenant, url, types, form, headers, ordered, per_second, at_once, description, secrets, position)
      values (gen_random_uuid(), 'demo', 'https://erp.example.com/', '["*"]', 'standard', '{}', false, 100, 10, '', '[]', ${position}) returning number`
    return row.number
  }
  async function events(at: number, from: number, to: number, endpoints: number[]): Promise<void> {
    await database.sql`
      insert into webhook_events (position, at, endpoints)
      select n, ${new Date(at)}, ${`{${endpoints.join(',')}}`}::text::int[] from generate_series(${from}::int, ${to}::int) n`
  }
  const standing = () => database.sql`select position, missed from webhooks order by number`
  const ended = (number: number, count: number, at: (n: number) => number) =>
    database.sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, ended_at)
      select ${number}, n, now(), 1, 'd', 'device.event', 'delivered', to_timestamp(ms::float8 / 1000)
      from json_array_elements_text(${JSON.stringify(Array.from({ length: count }, (_, n) => at(n)))}::text::json) with ordinality as ended (ms, n)`
  const left = async (number: number) =>
    (await database.sql<[{ count: number }]>`select count(*)::int as count from webhook_deliveries where webhook = ${number}`)[0].count

  test('for whom an event was is known for eight days, and whoever has not come so far is told how many it missed', async () => {
    const [late, halfway, ahead] = [await webhook(0), await webhook(7), await webhook(30)]
    await ensurePartitions(database.sql, new Date(NOW - 9 * DAY))
    await events(NOW - 9 * DAY, 1, 10, [late, halfway, ahead])
    await events(NOW - 9 * DAY, 11, 12, [ahead])
    await events(NOW - DAY, 13, 20, [late, halfway, ahead])
    expect(await run()).toMatchObject({ 'webhook_events partitions by age': expect.any(Number) })
    expect((await listPartitions(database.sql, 'webhook_events'))[0]!.to).toBeGreaterThan(NOW - 8 * DAY)
    expect(await standing()).toEqual([
      { position: 12, missed: 10 },
      { position: 12, missed: 3 },
      { position: 30, missed: 0 },
    ])
    expect(await database.sql`select position from webhook_events`).toHaveLength(8)
  })

  test('and for less where it takes too many bytes', async () => {
    const number = await webhook(0)
    await events(NOW - DAY, 1, 5_000, [number])
    await events(NOW, 5_001, 5_010, [number])
    const limits = limitsFor()
    await run({ ...limits, bytes: { ...limits.bytes, webhook_events: 200_000 } })
    expect(await standing()).toEqual([{ position: 5_000, missed: 5_000 }])
    expect(await database.sql`select position from webhook_events`).toHaveLength(10)
  })

  test('deliveries that have ended go after a week', async () => {
    const number = await webhook(0)
    await ended(number, 10, (n) => NOW - 7 * DAY + (n < 4 ? -1 : 1) * MINUTE)
    await database.sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status)
      values (${number}, 100, ${new Date(NOW - 30 * DAY)}, 1, 'd', 'device.event', 'behind')`
    expect(await run()).toMatchObject({ webhook_deliveries: 4 })
    expect(await left(number)).toBe(7)
    expect(await run()).toEqual({})
  })

  test('and all but the newest 10,000 of each webhook, step by step', async () => {
    const [busy, quiet] = [await webhook(0), await webhook(0)]
    await ended(busy, 35_000, (n) => NOW - n)
    await ended(quiet, 10_000, (n) => NOW - n)
    expect(await run()).toEqual({ webhook_deliveries: 25_000 })
    expect(await left(busy)).toBe(10_000)
    expect(await left(quiet)).toBe(10_000)
    const [oldest] = await database.sql`select min(ended_at) as at from webhook_deliveries where webhook = ${busy}`
    expect(oldest!.at.getTime()).toBe(NOW - 9_999)
  })
})

test('a drop that was cut short is finished by the next run', async () => {
  const { sql } = database
  await ensurePartitions(sql, new Date(NOW - 50 * DAY))
  const impatient = connect(database.url, { max: 2, name: 'impatient', lockTimeoutMs: 100 })
  try {
    // Somebody reads an old partition for long: the detach gives up between its two steps.
    await sql.begin(async (tx) => {
      await tx`select count(*) from telemetry`
      const done = await retain({ sql: impatient, log, limits: limitsFor(), now: NOW })
      expect(done['telemetry partitions by age']).toBeUndefined()
    })
    const pending = () => sql`select from pg_inherits where inhdetachpending`
    expect((await pending()).length).toBe(1)
    expect((await finishDrops(sql)).length).toBe(1)
    expect((await pending()).length).toBe(0)
    await run()
    expect((await listPartitions(sql, 'telemetry'))[0]!.to).toBeGreaterThan(NOW - 30 * DAY)
  } finally {
    await impatient.end()
  }
})

describe('the fleet', () => {
  test('is counted: registered, online, and not seen for a day', async () => {
    const { sql } = database
    await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
    const hours = (n: number) => NOW - n * 60 * MINUTE
    const devices: Array<[name: string, status: string, created: number, lastSeen: number | null]> = [
      ['online', 'online', hours(48), hours(0)],
      ['silent', 'offline', hours(48), hours(25)],
      ['quiet', 'offline', hours(48), hours(23)],
      ['never', 'never', hours(48), null],
      ['new', 'never', hours(1), null],
    ]
    for (const [name, status, created, lastSeen] of devices) {
      const [row] = await sql<[{ incarnation: number }]>`
        insert into devices (tenant, device, model, model_version, token_hash, created_at, decided)
        values ('demo', ${name}, 'thermostat', '1.0.0', ${Buffer.from(name)}, ${new Date(created)}, ${sql.json({ presence: { status } })})
        returning incarnation`
      if (lastSeen !== null) await sql`insert into twin_inbox (incarnation, lane, last_seen) values (${row.incarnation}, 0, ${lastSeen})`
    }
    expect(await readFleet(sql, NOW)).toEqual({ registered: 5, online: 1, inactive: 2 })
  })
})

test('one of two keeps house, and when it ends the other does', async () => {
  const quick = { log, fleetEveryMs: 20, retentionEveryMs: 20, limits: limitsFor() }
  const pools = [0, 1].map((n) => connect(database.url, { max: 2, name: `housekeeper ${n}` }))
  const keepers: Housekeeping[] = []
  try {
    for (const sql of pools) {
      keepers.push(startHousekeeping({ sql, ...quick }))
      await until(async () => (await lockHolders()).length === 1, 'one holds the lock')
    }
    expect(await lockHolders()).toEqual(['castor housekeeper 0'])
    await addOldError()
    await until(errorsAreGone, 'the first keeps house')
    await keepers[0]!.stop()
    await until(async () => (await lockHolders())[0] === 'castor housekeeper 1', 'the second takes over')
    await addOldError()
    await until(errorsAreGone, 'the second keeps house')
  } finally {
    await Promise.all(keepers.map((keeper) => keeper.stop()))
    await Promise.all(pools.map((sql) => sql.end()))
  }
  expect(await lockHolders()).toEqual([])
})

test('a housekeeper whose connections were cut goes on with new ones', async () => {
  const sql = connect(database.url, { max: 2, name: 'housekeeper' })
  const keeper = startHousekeeping({ sql, log, fleetEveryMs: 20, retentionEveryMs: 20, limits: limitsFor() })
  try {
    for (let round = 0; round < 8; round++) {
      await until(async () => (await lockHolders()).length === 1, 'it holds the lock')
      await database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'castor housekeeper' and datname = current_database()`
      await addOldError()
      await until(errorsAreGone, 'it keeps house again')
    }
  } finally {
    await keeper.stop()
    await sql.end()
  }
})

async function addOldError(): Promise<void> {
  await database.sql`insert into device_errors (stream, incarnation, body, at) values (1, 1, 'old', now() - interval '5 minutes')`
}

async function errorsAreGone(): Promise<boolean> {
  return (await database.sql`select from device_errors`).length === 0
}

async function lockHolders(): Promise<string[]> {
  const rows = await database.sql<Array<{ name: string }>>`
    select application_name as name from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objid::bigint = 7204811003 & 4294967295 and datname = current_database()`
  return rows.map(({ name }) => name)
}

async function waitingFor(statement: string): Promise<number> {
  const rows = await database.sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ilike ${`%${statement}%`}`
  return rows.length
}
