/** The api as a process: on a real socket, with its end. */
import net from 'node:net'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from '../../infra/config.ts'
import { startApi } from '../../infra/processes/api.ts'
import type { ProcessContext, RunningProcess } from '../../infra/processes/process.ts'
import { freePort } from '../support/free-port.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const KEY = 'process-key-0123456789'
let database: TestDatabase
let context: ProcessContext
let running: RunningProcess
let url: string

beforeAll(async () => {
  // Without tables: the api migrates.
  database = await testDatabase({ migrated: false })
  const port = await freePort()
  const config = readConfig({
    DATABASE_URL: database.url,
    CASTOR_HTTP_PORT: String(port),
    CASTOR_ADMIN_KEY: KEY,
    TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}`,
  })
  const readiness = { ready: true, processes: { api: true as const } }
  const health = { ready: () => readiness, readyAll: async () => readiness, metrics: async () => '', metricsAll: async () => '' }
  context = { config, log: pino({ level: 'silent' }), health, fail: (error) => expect.fail(error.message) }
  running = await startApi(context)
  url = `http://127.0.0.1:${port}`
})
afterAll(async () => {
  await running?.stop()
  await database?.drop()
})

const authorization = `Bearer ${KEY}`

test('it serves with the admin key that it was given, and says that it is ready', async () => {
  expect(running.ready()).toBe(true)
  const made = await fetch(`${url}/v1/devices`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: '{"id":"t-1","model":"thermostat"}',
  })
  expect(made.status).toBe(201)
  expect((await fetch(`${url}/v1/twins/t-1`, { headers: { authorization } })).status).toBe(200)
})

test('a body of 2 MB is refused before it has come, with and without its length announced', async () => {
  const body = ' '.repeat(2_000_000)
  const headers = { authorization, 'content-type': 'application/json' }
  expect((await fetch(`${url}/v1/devices`, { method: 'POST', headers, body })).status).toBe(413)
  const stream = new Blob([body]).stream()
  const chunked = await fetch(`${url}/v1/devices`, { method: 'POST', headers, body: stream, duplex: 'half' } as RequestInit)
  expect(chunked.status).toBe(413)
  expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200)
})

test('what is no HTTP is answered and closed, and the next request works', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = net.connect(Number(new URL(url).port), '127.0.0.1', () => socket.write('GARBAGE\r\n\r\n'))
    let text = ''
    socket.on('data', (data) => (text += data))
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
})

test('a port that is taken is an error that names it', async () => {
  await expect(startApi(context)).rejects.toThrow(`CASTOR_HTTP_PORT: port ${context.config.httpPort} on 127.0.0.1 is taken`)
})

test('without Temporal a strong read is refused in time, while others go on', async () => {
  const strong = fetch(`${url}/v1/twins/t-1?consistency=strong`, { headers: { authorization } })
  await until(async () => (await database.sql`update twin_requests set answered_at = now(), answer = '{}'`).count > 0, 'the request')
  const answer = await strong
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  expect((await fetch(`${url}/v1/twins/t-1`, { headers: { authorization } })).status).toBe(200)
})

test('it ends by finishing what is under way and closing the port', async () => {
  const underWay = fetch(`${url}/v1/devices?limit=200`, { headers: { authorization } })
  expect((await underWay).status).toBe(200)
  const stopping = running.stop()
  await stopping
  running = { ready: () => true, stop: async () => {} }
  await expect(fetch(`${url}/healthz`)).rejects.toThrow()
})
