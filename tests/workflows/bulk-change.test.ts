/** Bulk changes on a real Temporal and a real Postgres, without any cache. The twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createBulkStore, registerBulkChange } from '../../infra/postgres/bulk-changes.ts'
import type { BulkRequest } from '../../twin-models/schemas/bulk-change.ts'
import type { bulkChange } from '../../workflows/index.ts'
import { until } from '../support/wait.ts'
import { startBulkWorker } from './bulk-changes.ts'
import { fleet } from './fleet.ts'
import { setting } from './setting.ts'
import { details, messages } from './told.ts'

const here = setting(startBulkWorker)

test('an operator starts one in the UI under any id, with one JSON object, and every device is asked once', async () => {
  const site = await fleet(here.sql, 7)
  const handle = await here.worker.start({
    tenant: 'demo',
    filter: `attributes.site = '${site}'`,
    wish: { targetTemperature: 21 },
    perSecond: 500,
  })
  await until(async () => (await requests(site)).length === 7, 'all were asked')
  for (const [n, { incarnation, body }] of (await requests(site)).entries()) {
    expect(JSON.parse(body)).toMatchObject({ patch: { targetTemperature: 21 }, by: expect.stringMatching(/^bulk /) })
    await decide(incarnation, n < 5 ? 'converged' : 'diverged')
  }
  expect(await handle.result()).toMatchObject({ status: 'completed', total: 7, succeeded: 5, failed: 2 })
  expect(await requests(site)).toHaveLength(7)
  expect(await reasons(site)).toEqual(['refused', 'refused'])
  const details = (await handle.describe()).raw
  expect(JSON.stringify(details)).toContain('Status')
})

test('devices whose model cannot take it are skipped, and say why', async () => {
  const site = await fleet(here.sql, 2)
  await fleet(here.sql, 1, { site, model: 'pump' })
  const handle = await here.worker.start({ tenant: 'demo', filter: `attributes.site = '${site}'`, wish: { targetTemperature: 21 } })
  await until(async () => (await requests(site)).length === 2, 'two were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  expect(await handle.result()).toMatchObject({ total: 3, succeeded: 2, skipped: 1 })
  expect(await reasons(site)).toContain('targetTemperature is not writable')
})

test('what is wrong with its input fails it at once, in words', async () => {
  for (const [input, words] of [
    [{ tenant: 'demo', filter: 'attributes.site =', wish: { a: 1 } }, /filter/i],
    [{ tenant: 'demo', filter: "id = 'x'" }, /one of wish and command/],
    [{ tenant: 'nobody', filter: "id = 'x'", wish: { a: 1 } }, /no tenant/],
    [{ tenant: 'demo', filter: "id = 'x'", wish: { a: 1 }, colour: 'red' }, /colour/],
    [{ tenant: 'demo', id: randomUUID() }, /no bulk change/],
    [{ tenant: 'demo', filter: "id = 'x\0'", wish: { a: 1 } }, /cannot be taken: \/filter holds U\+0000/],
  ] as const) {
    const handle = await here.worker.start(input)
    const error = await handle.result().catch((failure: Error) => failure)
    expect(messages(error as Error)).toMatch(words)
  }
})

test('its input may have as many levels as a body of REST, and more are refused before anything walks them', async () => {
  const nested = (levels: number): object => (levels === 1 ? {} : { a: nested(levels - 1) })
  const start = (levels: number) => here.worker.start({ tenant: 'demo', filter: "id = 'x'", wish: nested(levels - 1) })
  expect(await (await start(32)).result()).toMatchObject({ status: 'completed', total: 0 })
  for (const levels of [33, 3_000]) {
    const handle = await start(levels)
    const error = await handle.result().catch((failure: Error) => failure)
    expect(messages(error)).toMatch(/The input of bulkChange cannot be taken: \/wish\/a\S* is deeper than 32 levels/)
  }
})

test('it keeps its pace, waits while paused, and goes on when resumed, also with another worker', async () => {
  const site = await fleet(here.sql, 6)
  const handle = await here.worker.start({
    tenant: 'demo',
    filter: `attributes.site = '${site}'`,
    wish: { targetTemperature: 19 },
    perSecond: 2,
  })
  await until(async () => (await requests(site)).length >= 2, 'it has begun')
  expect(await handle.executeUpdate('pause')).toContain('starts no more')
  await until(async () => (await stored(site)).status === 'paused', 'it is paused')
  const asked = (await requests(site)).length
  expect(asked).toBeLessThan(6)
  await here.worker.restart()
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  await until(
    async () => (await targets(site)).filter((status) => status === 'succeeded').length === asked,
    'it watches those that were asked',
  )
  expect(await requests(site)).toHaveLength(asked)
  await handle.executeUpdate('resume')
  await until(async () => (await requests(site)).length === 6, 'all were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  expect(await handle.result()).toMatchObject({ status: 'completed', succeeded: 6 })
})

test('reset to its beginning it is the same one, which goes on where it stood', async () => {
  const { site, handle } = await hasAsked(2, 4)
  await handle.executeUpdate('pause')
  await until(async () => (await stored(site)).status === 'paused', 'it is paused')
  const again = await resetToItsBeginning(handle.workflowId)
  await until(async () => (await details(again)).includes('### Bulk change paused'), 'it knows that it was paused')
  expect(await here.sql`select 1 as one from bulk_changes where filter like ${`%${site}%`}`).toHaveLength(1)
  expect(await requests(site)).toHaveLength(2)
  await again.executeUpdate('resume')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  await until(async () => (await requests(site)).length === 4, 'the others were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged', true)
  expect(await again.result()).toMatchObject({ status: 'completed', total: 4, succeeded: 4 })
})

test('reset after its end it has the same end', async () => {
  const { site, handle } = await hasAsked(1, 3)
  await handle.executeUpdate('cancel')
  const end = await handle.result()
  const before = await stored(site)
  const again = await resetToItsBeginning(handle.workflowId)
  expect(await again.result()).toEqual(end)
  expect(await stored(site)).toEqual(before)
})

test('an id that is none is refused in words, since what is begun again could not be known by it', async () => {
  const site = await fleet(here.sql, 1)
  for (const request of [{}, { filter: `attributes.site = '${site}'`, wish: { targetTemperature: 19 } }]) {
    const handle = await here.worker.start({ tenant: 'demo', id: 'monday', ...request })
    expect(messages(await handle.result().catch((error: Error) => error))).toMatch(/The id of a bulk change is a UUID/)
  }
})

test('it halts when too many fail, says why, and whoever resumes it forgives that', async () => {
  const site = await fleet(here.sql, 8)
  const request = { filter: `attributes.site = '${site}'`, wish: { targetTemperature: 19 }, perSecond: 4, atOnce: 4 }
  const handle = await here.worker.start({ tenant: 'demo', ...request, errorLimit: { share: 0.5, minimum: 4 } })
  await until(async () => (await requests(site)).length === 4, 'the first four were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'diverged')
  await until(async () => (await stored(site)).status === 'halted', 'it has halted')
  expect((await stored(site)).reason).toBe('4 of 4 devices failed, more than 50 %')
  expect(await requests(site)).toHaveLength(4)
  await handle.executeUpdate('resume')
  await until(async () => (await requests(site)).length === 8, 'the others were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged', true)
  expect(await handle.result()).toMatchObject({ status: 'completed', succeeded: 4, failed: 4 })
})

test('a cancelled one asks nobody any more, and says so of those that it left', async () => {
  const site = await fleet(here.sql, 5)
  const handle = await here.worker.start({
    tenant: 'demo',
    filter: `attributes.site = '${site}'`,
    wish: { targetTemperature: 19 },
    perSecond: 1,
  })
  await until(async () => (await requests(site)).length >= 1, 'it has begun')
  await handle.executeUpdate('cancel')
  const end = await handle.result()
  expect(end.status).toBe('cancelled')
  expect(end.skipped + end.underway).toBe(5)
  expect((await requests(site)).length).toBe(end.underway)
})

test('commands are asked under one id each, and end as their commands do', async () => {
  const site = await fleet(here.sql, 2)
  const handle = await here.worker.start({
    tenant: 'demo',
    filter: `attributes.site = '${site}'`,
    command: { name: 'identify' },
    timeout: '5m',
  })
  await until(async () => (await requests(site)).length === 2, 'both were asked')
  const [one, two] = (await requests(site)) as [Asked, Asked]
  expect(JSON.parse(one.body)).toMatchObject({ id: one.id, name: 'identify', repeatable: true })
  await here.sql`update commands set status = 'succeeded', ended_at = now() where id = ${one.id}`
  await here.sql`update commands set status = 'failed', code = 'jammed', ended_at = now() where id = ${two.id}`
  expect(await handle.result()).toMatchObject({ succeeded: 1, failed: 1 })
  expect(await reasons(site)).toEqual(['jammed'])
})

test('a step that is run twice, or that fails once, asks nobody twice', async () => {
  const site = await fleet(here.sql, 3)
  const store = createBulkStore(here.sql)
  let failures = 1
  here.worker.instead.advance = async (...args) => {
    await store.advance(...args)
    if (failures-- > 0) throw new Error('connection lost')
    return store.advance(...args)
  }
  const handle = await here.worker.start({
    tenant: 'demo',
    filter: `attributes.site = '${site}'`,
    wish: { targetTemperature: 18 },
    perSecond: 100,
  })
  await until(async () => (await requests(site)).length === 3, 'all were asked')
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  expect(await handle.result()).toMatchObject({ succeeded: 3 })
  expect(await requests(site)).toHaveLength(3)
})

test('one that was registered over REST has one workflow, whoever starts another', async () => {
  const site = await fleet(here.sql, 1)
  const id = randomUUID()
  const request: BulkRequest = {
    filter: `attributes.site = '${site}'`,
    change: { wish: { targetTemperature: 20 }, deadlineMs: 60_000 },
    pace: { perSecond: 10, atOnce: 10, errorLimit: { share: 1, minimum: 1 } },
  }
  await registerBulkChange(here.sql, { ...request, id, tenant: 'demo', by: 'admin' })
  const handle = await here.worker.start({ tenant: 'demo', id }, `bulk:demo:${id}`)
  await until(async () => (await requests(site)).length === 1, 'it was asked')
  const other = await here.worker.start({ tenant: 'demo', id })
  expect(messages(await other.result().catch((error: Error) => error))).toMatch(/works on this bulk change already/)
  for (const { incarnation } of await requests(site)) await decide(incarnation, 'converged')
  expect(await handle.result()).toMatchObject({ succeeded: 1 })
})

interface Asked {
  id: string
  incarnation: number
  body: string
}

/** One that is to ask so many devices at once, and has asked the first of them. */
async function hasAsked(atOnce: number, devices: number) {
  const site = await fleet(here.sql, devices)
  const request = { filter: `attributes.site = '${site}'`, wish: { targetTemperature: 19 }, perSecond: atOnce, atOnce }
  const handle = await here.worker.start({ tenant: 'demo', ...request })
  await until(async () => (await requests(site)).length === atOnce, 'the first were asked')
  return { site, handle }
}

async function requests(site: string): Promise<Asked[]> {
  return here.sql<Asked[]>`
    select r.id, r.incarnation, r.body from twin_requests r join devices d using (incarnation)
    where d.attributes ->> 'site' = ${site} order by r.incarnation`
}

/** What the twin decides on its wish. `only`: leave those that have decided already. */
async function decide(incarnation: number, status: 'converged' | 'diverged', only = false): Promise<void> {
  const { sql } = here
  const [row] = await sql<Array<{ id: string; body: string; answered: boolean }>>`
    select id, body, answered_at is not null as answered from twin_requests where incarnation = ${incarnation}`
  const { id, body, answered } = row!
  if (only && answered) return
  const { patch, by } = JSON.parse(body) as { patch: object; by: string }
  const leaf = { version: 1, by, status, ...(status === 'diverged' && { reason: 'refused' }) }
  const metadata = Object.fromEntries(Object.keys(patch).map((name) => [`/${name}`, leaf]))
  const decided = { presence: { status: 'online' }, desired: { version: 1, state: patch, metadata } }
  await sql`update devices set decided = ${JSON.stringify(decided)}::text::jsonb where incarnation = ${incarnation}`
  await sql`update twin_requests set answered_at = now(), answer = '{"revision": 1, "seq": 1, "version": 1}' where id = ${id}`
}

async function targets(site: string): Promise<string[]> {
  const rows = await here.sql<Array<{ status: string }>>`
    select t.status from bulk_targets t join devices d using (incarnation) where d.attributes ->> 'site' = ${site} order by t.number`
  return rows.map(({ status }) => status)
}

async function reasons(site: string): Promise<string[]> {
  const rows = await here.sql<Array<{ reason: string }>>`
    select t.reason from bulk_targets t join devices d using (incarnation)
    where d.attributes ->> 'site' = ${site} and t.reason is not null order by t.number`
  return rows.map(({ reason }) => reason)
}

interface Stored {
  id: string
  status: string
  reason: string | null
  ended: string | null
}

async function stored(site: string): Promise<Stored> {
  const [row] = await here.sql<Stored[]>`
    select id, status, reason, ended_at::text as ended from bulk_changes where filter like ${`%${site}%`}`
  return row!
}

async function resetToItsBeginning(workflowId: string) {
  const { client } = here.worker
  await client.workflowService.resetWorkflowExecution({
    ...{ namespace: 'default', workflowExecution: { workflowId }, reason: 'test', requestId: randomUUID() },
    // Its first workflow task.
    workflowTaskFinishEventId: 4 as never,
    // What it was asked before is not asked again: none, as the UI may do it too.
    resetReapplyType: 2,
  })
  return client.workflow.getHandle<typeof bulkChange>(workflowId)
}
