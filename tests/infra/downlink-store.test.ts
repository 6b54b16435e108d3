/** The queries of the downlink, and what they hold to when bridges die or compete. */

import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Ask, Pending } from '../../api/downlink.ts'
import { NOTHING } from '../../api/http/hand-out.ts'
import { createDownlink } from '../../infra/mqtt/downlink.ts'
import { createDownlinkStore } from '../../infra/postgres/downlink.ts'
import { cancelCommand, command, commandRow, registerDevice, type TestDevice, wish } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

let database: TestDatabase
let serial = 0
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database?.drop())

const newDevice = (): Promise<TestDevice> => registerDevice(database, `s-${++serial}`)
const store = () => createDownlinkStore(database.sql, 'http://localhost')
const DUE: Omit<Ask, 'incarnation'> = { desired: 'due', commands: 'due', after: 0, cancels: true, updates: 'due', updateCancels: true }
const due = ({ incarnation }: TestDevice): Ask => ({ incarnation, ...DUE })
const all = (device: TestDevice): Ask => ({ ...due(device), desired: 'all', commands: 'all', updates: 'all' })
const wanted = { desired: true, commands: true, cancels: true, updates: true, updateCancels: true }

async function claim(ask: Ask): Promise<Pending | undefined> {
  return (await store().claim([ask])).get(ask.incarnation)
}

describe('a claim', () => {
  test('of what is due takes what was never sent, and then nothing until its wait is over', async () => {
    const device = await newDevice()
    await wish(database.sql, device, { retryMs: 10_000 })
    const id = await command(database.sql, device, { input: 1, retryMs: 20_000 })
    const first = await claim(due(device))
    expect(first).toMatchObject({ desired: { attempt: 1 }, commands: [{ id, input: '1', attempt: 1, repeatable: true }], cancels: [] })
    expect(await claim(due(device))).toBeUndefined()
    const inMs = (await store().whenDue([due(device)])).get(device.incarnation)!
    expect(inMs).toBeGreaterThan(9000)
    expect(inMs).toBeLessThanOrEqual(12_000)
    await database.sql`update wishes set sent_at = sent_at - interval '12 s' where incarnation = ${device.incarnation}`
    expect((await store().whenDue([due(device)])).get(device.incarnation)).toBe(0)
    expect(await claim(due(device))).toMatchObject({ desired: { attempt: 2 }, commands: [] })
    await database.sql`update wishes set sent_at = sent_at - interval '19 s' where incarnation = ${device.incarnation}`
    expect(await claim(due(device))).toBeUndefined()
  })

  test('waits ten minutes at most, and not at one moment for all devices', async () => {
    const waits: number[] = []
    for (let i = 0; i < 20; i++) {
      const device = await newDevice()
      await wish(database.sql, device, { retryMs: 30_000 })
      await database.sql`update wishes set sent_at = now(), attempts = 40 where incarnation = ${device.incarnation}`
      waits.push((await store().whenDue([due(device)])).get(device.incarnation)!)
    }
    expect(Math.min(...waits)).toBeGreaterThan(595_000)
    expect(Math.max(...waits)).toBeLessThanOrEqual(720_000)
    expect(new Set(waits.map((wait) => Math.round(wait / 1000))).size).toBeGreaterThan(10)
  })

  test('by many at once gives each to one of them', async () => {
    const device = await newDevice()
    const ids = await Promise.all(Array.from({ length: 8 }, () => command(database.sql, device, { repeatable: false })))
    const claims = await Promise.all(Array.from({ length: 10 }, () => claim(all(device))))
    expect(claims.flatMap((pending) => pending?.commands.map(({ id }) => id) ?? []).sort()).toEqual(ids.sort())
  })

  test('leaves alone what somebody is writing, and says that it is due', async () => {
    const device = await newDevice()
    const id = await command(database.sql, device)
    await database.sql.begin(async (tx) => {
      await tx`update commands set progress = '1' where id = ${id}`
      expect(await claim(due(device))).toBeUndefined()
      expect((await store().whenDue([due(device)])).get(device.incarnation)).toBe(0)
    })
    expect((await claim(due(device)))?.commands).toMatchObject([{ id }])
  })

  test('takes nothing that is not asked for', async () => {
    const device = await newDevice()
    await wish(database.sql, device)
    const id = await command(database.sql, device)
    expect(await claim({ ...all(device), desired: 'none', commands: 'none' })).toBeUndefined()
    expect(await store().whenDue([{ ...due(device), desired: 'none', commands: 'none' }])).toEqual(new Map())
    expect(await claim({ ...all(device), commands: 'none' })).toMatchObject({ desired: { attempt: 1 }, commands: [] })
    await cancelCommand(database.sql, id)
    expect(await claim(due(device))).toBeUndefined()
  })

  test('gives a cancel until it is told', async () => {
    const device = await newDevice()
    const id = await command(database.sql, device)
    await claim(due(device))
    await cancelCommand(database.sql, id)
    for (let i = 0; i < 2; i++) expect(await claim(due(device))).toEqual({ ...NOTHING, cancels: [id] })
    await store().cancelsTold([id])
    expect(await claim(all(device))).toBeUndefined()
  })

  test('of many devices is one query, and each has its own', async () => {
    const devices: TestDevice[] = []
    for (let i = 0; i < 100; i++) devices.push(await newDevice())
    for (const device of devices) {
      await wish(database.sql, device)
      for (let i = 0; i < 3; i++) await command(database.sql, device, { name: `n${i}` })
    }
    const claimed = await store().claim(devices.map(all))
    expect(claimed.size).toBe(100)
    for (const pending of claimed.values()) {
      expect(pending.desired).not.toBeNull()
      expect(pending.commands.map(({ name }) => name)).toEqual(['n0', 'n1', 'n2'])
    }
  })
})

test('a list has what may be handed out or was, and changes nothing', async () => {
  const device = await newDevice()
  await wish(database.sql, device)
  const [fresh, spent, sent] = [
    await command(database.sql, device, { repeatable: false }),
    await command(database.sql, device, { repeatable: false }),
    await command(database.sql, device),
  ]
  await database.sql`update commands set attempts = 1, sent_at = now() where id in ${database.sql([spent, sent])}`
  for (let i = 0; i < 2; i++) {
    const listed = (await store().list([device.incarnation])).get(device.incarnation)!
    expect(listed.desired?.attempt).toBe(0)
    expect(listed.commands.map(({ id, attempt }) => [id, attempt])).toEqual([
      [fresh, 0],
      [sent, 1],
    ])
  }
})

describe('a bridge that is killed between claim and send', () => {
  test('loses what may be sent once, and nothing else', async () => {
    const device = await newDevice()
    await wish(database.sql, device)
    const once = await command(database.sql, device, { repeatable: false })
    const many = await command(database.sql, device)
    const sent: string[] = []
    const bridge = (publish: (subtopic: string) => boolean) =>
      createDownlink({
        store: store(),
        connections: { wanted: () => wanted, publish: (_incarnation, subtopic) => publish(subtopic) },
        incarnations: () => [device.incarnation],
        log: pino({ level: 'silent' }),
      })
    const killed = bridge(() => false)
    killed.again(device.incarnation, wanted)
    await until(async () => (await commandRow(database.sql, many)).attempts === 1, 'the claim')
    await killed.stop()
    const next = bridge((subtopic) => sent.push(subtopic) > 0)
    next.again(device.incarnation, wanted)
    await until(() => sent.length === 2, 'the rest')
    const [last] = [await command(database.sql, device)]
    next.wake([device.incarnation])
    await until(() => sent.length === 3, 'another command')
    await next.stop()
    expect(sent).toEqual(['desired', `commands/${many}/request`, `commands/${last}/request`])
    expect(await commandRow(database.sql, once)).toMatchObject({ status: 'sent', attempts: 1 })
  })
})

describe('a store that fails', () => {
  test('costs time only: all that was asked for goes when it is back', async () => {
    const device = await newDevice()
    await wish(database.sql, device, { answered: true })
    const id = await command(database.sql, device)
    await database.sql`update commands set attempts = 1, sent_at = now(), acknowledged_at = now() where id = ${id}`
    const real = store()
    let fails = 2
    const sent: string[] = []
    const downlink = createDownlink({
      store: {
        ...real,
        claim: (asks) => (fails-- > 0 ? Promise.reject(new Error('no Postgres')) : real.claim(asks)),
      },
      connections: { wanted: () => wanted, publish: (_incarnation, subtopic) => sent.push(subtopic) > 0 },
      incarnations: () => [],
      log: pino({ level: 'silent' }),
      limits: { tickMs: 10, pauseMs: 10 },
    })
    downlink.again(device.incarnation, wanted)
    await until(() => sent.length === 2, 'both')
    await downlink.stop()
    expect([sent, fails]).toEqual([['desired', `commands/${id}/request`], -1])
  })
})
