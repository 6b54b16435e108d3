import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hashOf, messagesOf, registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

let database: TestDatabase
let bridge: TestBridge
let device: TestDevice

beforeAll(async () => {
  database = await testDatabase()
  bridge = await startTestBridge(database.url)
  device = await registerDevice(database, 'h-1')
})
afterAll(async () => {
  await bridge?.stop()
  await database?.drop()
})

interface Call {
  method?: string
  path?: string
  headers?: Record<string, string | undefined>
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream | null
}

function call({ method = 'POST', path = '/device/v1/telemetry', headers = {}, body = '{"temperature":1}' }: Call = {}): Promise<Response> {
  const all = { authorization: `Bearer ${device.token}`, 'content-type': 'application/json', ...headers }
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<string, string>
  const init = { method, headers: given, ...(method !== 'GET' && method !== 'HEAD' && { body }), duplex: 'half' }
  return fetch(`${bridge.url}${path}`, init as RequestInit)
}

describe('device HTTP', () => {
  test.each<[string, Call, Record<string, unknown>]>([
    ['telemetry', {}, { kind: 'telemetry' }],
    ['telemetry with an id', { headers: { 'message-id': 'm-1' } }, { kind: 'telemetry', id: 'm-1' }],
    ['telemetry in UTF-8, said so', { headers: { 'content-type': 'application/json; charset=utf-8' } }, { kind: 'telemetry' }],
    ['SenML', { headers: { 'content-type': 'application/senml+json' } }, { kind: 'telemetry', contentType: 'application/senml+json' }],
    ['an event', { path: '/device/v1/events/door.open' }, { kind: 'event', name: 'door.open' }],
    ['presence', { path: '/device/v1/presence' }, { kind: 'presence' }],
    ['what it is configured as', { path: '/device/v1/reported' }, { kind: 'reported' }],
    ['an answer to a command', { path: '/device/v1/commands/c-1/response' }, { kind: 'response', name: 'c-1' }],
    ['a word on an update', { path: '/device/v1/updates/u-1/status' }, { kind: 'update', name: 'u-1' }],
    ['what is not JSON: the processor says so', { body: new Uint8Array([0xff, 0x00]) }, { kind: 'telemetry' }],
    ['256 kB', { body: new Uint8Array(256 * 1024) }, { kind: 'telemetry', size: 262_144 }],
  ])('takes %s', async (_what, request, expected) => {
    const before = (await messagesOf(database.sql, device.incarnation)).length
    const answer = await call(request)
    expect(answer.status).toBe(202)
    const { receivedAt } = (await answer.json()) as { receivedAt: string }
    const [stored, ...more] = (await messagesOf(database.sql, device.incarnation)).slice(before)
    expect(more).toEqual([])
    expect(stored).toMatchObject(expected)
    expect(new Date(stored!.receivedAt).toISOString()).toBe(receivedAt)
    expect(stored!.connection ?? null).toBeNull()
  })

  const streamed = () =>
    new ReadableStream({
      start(controller) {
        for (let i = 0; i < 5; i++) controller.enqueue(new Uint8Array(100_000))
        controller.close()
      },
    })

  test.each<[string, Call, number, string]>([
    ['no credential', { headers: { authorization: undefined } }, 401, 'unauthenticated'],
    ['a wrong token', { headers: { authorization: 'Bearer nobody' } }, 401, 'unauthenticated'],
    ['another scheme', { headers: { authorization: 'Basic eDp5' } }, 401, 'unauthenticated'],
    ['an unknown path', { path: '/device/v1/nonsense' }, 404, 'not-found'],
    ['a path above', { path: '/' }, 404, 'not-found'],
    ['another method', { method: 'GET' }, 405, 'method-not-allowed'],
    ['another method on an event', { method: 'PUT', path: '/device/v1/events/x' }, 405, 'method-not-allowed'],
    ['another content type', { headers: { 'content-type': 'text/plain' } }, 415, 'unsupported-media-type'],
    ['another charset', { headers: { 'content-type': 'application/json; charset=latin1' } }, 415, 'unsupported-media-type'],
    [
      'SenML as an event',
      { path: '/device/v1/events/x', headers: { 'content-type': 'application/senml+json' } },
      415,
      'unsupported-media-type',
    ],
    ['an empty body', { body: '' }, 400, 'invalid'],
    ['an unknown query parameter', { path: '/device/v1/telemetry?x=1' }, 400, 'invalid'],
    ['a strange event name', { path: '/device/v1/events/1%2F' }, 400, 'invalid'],
    ['a strange id of a command', { path: '/device/v1/commands/a%20b/response' }, 400, 'invalid'],
    ['a strange message id', { headers: { 'message-id': 'a b' } }, 400, 'invalid'],
    ['300 kB', { body: new Uint8Array(300_000) }, 413, 'too-large'],
    ['300 kB whose length is not told', { body: streamed() }, 413, 'too-large'],
  ])('refuses %s', async (_what, request, status, code) => {
    const before = (await messagesOf(database.sql, device.incarnation)).length
    const answer = await call(request)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toMatchObject({ status, code, detail: expect.stringMatching(/./) })
    if (status === 405) expect(answer.headers.get('allow')).toBe('POST')
    if (status === 401) expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(await messagesOf(database.sql, device.incarnation)).toHaveLength(before)
    expect((await call()).status).toBe(202)
  })

  test('forgets a token within seconds of its change', async () => {
    const other = await registerDevice(database, 'h-2')
    const bearer = { authorization: `Bearer ${other.token}` }
    expect((await call({ headers: bearer })).status).toBe(202)
    await database.sql`update devices set token_hash = ${hashOf('another')} where incarnation = ${other.incarnation}`
    await until(async () => (await call({ headers: bearer })).status === 401, 'the old token to be refused')
    await until(async () => (await call({ headers: { authorization: 'Bearer another' } })).status === 202, 'the new token to be taken')
  })
})
