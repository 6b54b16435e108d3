/** A device in maintenance, over REST: the core decides and Postgres keeps; the test plays lane and workflow. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { hotRule, rulesFor } from '../support/alarms.ts'
import { OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
let twin: TestTwin
beforeAll(async () => {
  api = await testApi({ twinWaitMs: 2_000 })
  twin = await testTwin(api, 'd-1')
})
afterAll(() => api?.database.drop())

const maintain = (body: unknown, headers: Record<string, string> = {}) => api.ask('PUT', '/v1/twins/d-1/maintenance', { body, headers })
const end = (headers: Record<string, string> = {}) => api.ask('DELETE', '/v1/twins/d-1/maintenance', { headers })
const shown = async () => (await api.ask('GET', '/v1/twins/d-1')).json
const reading = (value: number): TwinInput => ({ kind: 'reading', at: Date.now(), name: 'temperature', value, ts: Date.now() })

test('begins, goes on for longer or shorter, and ends, each as its twin decides', async () => {
  const began = await twin.during(maintain({ for: '4h', reason: 'A new bearing' }))
  expect([began.status, began.json]).toEqual([
    200,
    { since: expect.any(String), until: expect.any(String), by: 'admin', reason: 'A new bearing' },
  ])
  expect(Date.parse(began.json.until)).toBeGreaterThan(Date.now() + 14_390_000)
  expect((await shown()).maintenance).toEqual(began.json)
  const until = new Date(Date.now() + 60_000).toISOString()
  const changed = await twin.during(maintain({ until }))
  expect(changed.json).toEqual({ since: began.json.since, until, by: 'admin' })
  const ended = await twin.during(end())
  expect([ended.status, ended.text]).toEqual([204, ''])
  expect(await shown()).not.toHaveProperty('maintenance')
  expect((await twin.during(end())).status).toBe(204)
  const { items } = (await api.ask('GET', '/v1/twins/d-1/history?kind=maintenance-changed')).json
  expect(items.map(({ maintenance }: { maintenance: object | null }) => maintenance)).toEqual([began.json, changed.json, null])
})

test('mutes what is raised meanwhile, and tells at its end of what is still there', async () => {
  await twin.decide(rulesFor(hotRule()))
  await twin.during(maintain({ for: '1h' }))
  await twin.decide(reading(50))
  const { items } = (await api.ask('GET', '/v1/alarms?device=d-1')).json
  expect(items).toMatchObject([{ status: 'raised', muted: true }])
  expect((await shown()).alarms).toMatchObject([{ id: items[0].id, muted: true }])
  await twin.during(end())
  expect((await api.ask('GET', `/v1/alarms/${items[0].id}`)).json).toMatchObject({ status: 'raised', muted: false })
})

test('is answered later where its twin takes longer', async () => {
  for (const asked of [maintain({ for: '1h' }, { prefer: 'respond-async' }), end({ prefer: 'respond-async' })]) {
    const { status, headers, json } = await asked
    expect([status, headers.get('location'), json.kind]).toEqual([202, `/v1/requests/${json.id}`, 'maintenance'])
  }
  await twin.decide()
})

test('of a device that one may not see is 404', async () => {
  expect((await api.ask('PUT', '/v1/twins/absent/maintenance', { body: { for: '1h' } })).status).toBe(404)
  expect((await api.ask('DELETE', '/v1/twins/d-1/maintenance', { key: OTHER_KEY })).status).toBe(404)
})

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
test.each([
  ['no end', {}, '/until'],
  ['two ends', { for: '1h', until: inDays(1) }, '/for'],
  ['31 days', { for: '31d' }, '/for'],
  ['an end in 31 days', { until: inDays(31) }, '/until'],
  ['an end in the past', { until: inDays(-1) }, '/until'],
  ['an end that is no time', { until: 'tomorrow' }, '/until'],
  ['a reason without words', { for: '1h', reason: '' }, '/reason'],
  ['a reason of 1,001 characters', { for: '1h', reason: 'x'.repeat(1_001) }, '/reason'],
  ['an unknown member', { for: '1h', by: 'ann' }, '/by'],
])('%s is refused by name', async (_what, body, path) => {
  const { status, json } = await maintain(body)
  expect([status, json.errors[0].path]).toEqual([400, path])
})
