/**
 * Webhooks on the whole of Castor, while what they stand on is killed: every event of the outbox arrives, with its one id and rightly signed, and
 * where order was asked for in the order of each device.
 */
import { setTimeout as pace } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decided } from '../chaos/settled.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { until } from '../support/wait.ts'
import { type Received, WebhookReceiver } from '../support/webhook-receiver.ts'

const DEVICES = 8
const PACE_MS = 200

let castor: TestCastor
let receiver: WebhookReceiver
const verifiers = new Map<string, Webhook>()
const wrong: string[] = []
/** Ids in the order of their first arrivals, and the first body of each, by path. */
const first = { '/ordered': new Map<string, Received>(), '/any': new Map<string, Received>() }

beforeAll(async () => {
  receiver = await WebhookReceiver.start()
  receiver.answer = (request) => {
    take(request)
    return { status: 204 }
  }
  castor = await startCastor({ env: { CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true' } })
})
afterAll(async () => {
  await castor?.stop()
  await receiver?.stop()
})

function take(request: Received): void {
  const { id, path, headers, body } = request
  const seen = first[path as keyof typeof first]
  try {
    verifiers.get(path)!.verify(body, headers as Record<string, string>)
  } catch (error) {
    wrong.push(`${path} ${id}: ${(error as Error).message}`)
  }
  const before = seen.get(id)
  if (before === undefined) seen.set(id, request)
  else if (before.body !== body) wrong.push(`${path} ${id} has two bodies`)
}

test('whatever is killed, every event arrives with its one id, rightly signed, and in order where order was asked for', {
  timeout: 240_000,
}, async () => {
  for (const [path, ordered] of [
    ['/ordered', true],
    ['/any', false],
  ] as const) {
    const { status, body } = await castor.rest('POST', '/v1/webhooks', { url: `${receiver.url}${path.slice(1)}`, types: ['*'], ordered })
    expect(status).toBe(201)
    verifiers.set(path, new Webhook(body.secret))
  }
  const { sql } = castor
  const [{ position: from }] = await sql<[{ position: number }]>`select min(position) as position from webhooks`
  const stopping = new AbortController()
  const traffic = Promise.all(Array.from({ length: DEVICES }, (_, n) => live(`d-${n}`, stopping.signal)))
  const arrived = () => Math.min(first['/ordered'].size, first['/any'].size)
  const more = (count: number) => {
    const goal = arrived() + count
    return until(() => arrived() >= goal, `${count} more events arrive`, 90_000)
  }

  await more(30)
  await castor.kill('dispatcher')
  await more(20)
  await receiver.stop()
  await until(async () => (await troubled()) === 2, 'both webhooks are in trouble', 30_000)
  await castor.kill('worker')
  await receiver.begin()
  await more(20)
  await castor.kill('postgres')
  await more(20)
  await castor.kill('temporal')
  await receiver.stop()
  await until(async () => (await troubled()) === 2, 'both are in trouble again', 30_000)
  await castor.kill('dispatcher')
  await receiver.begin()
  await more(20)
  await castor.ready()
  stopping.abort()
  await traffic

  await decided(sql, 60_000)
  await until(async () => (await sql`select from outbox where position is null limit 1`).length === 0, 'all is numbered', 60_000)
  const events = await sql<Array<{ id: string; position: number; device: string }>>`
    select 'evt_' || position as id, position, device from outbox where position > ${from} order by position`
  expect(events.length).toBeGreaterThan(110)
  await until(() => events.every(({ id }) => first['/ordered'].has(id) && first['/any'].has(id)), 'all arrive', 60_000)
  expect(wrong).toEqual([])
  for (const device of new Set(events.map((event) => event.device))) {
    const wanted = events.filter((event) => event.device === device).map(({ id }) => id)
    const got = [...first['/ordered'].values()].filter(({ json }) => (json.data.device ?? '') === device).map(({ id }) => id)
    expect(got, `of ${device}`).toEqual(wanted)
  }
  for (const path of ['/ordered', '/any'] as const) expect(first[path].size).toBe(events.length)
  const { body } = await castor.rest('GET', '/v1/webhooks')
  for (const webhook of body.items) expect(webhook).toMatchObject({ status: 'active', health: { missed: 0 } })

  async function troubled(): Promise<number> {
    return (await sql`select from webhooks where troubled_at is not null`).length
  }
})

/** A device that is registered, speaks, tells of events, crosses bounds, and is removed in the end; what is refused is said again. */
async function live(id: string, stopping: AbortSignal): Promise<void> {
  const { token } = await insisting(async () => {
    await castor.rest('DELETE', `/v1/devices/${id}`)
    const { status, body } = await castor.rest('POST', '/v1/devices', { id, model: 'thermostat' })
    return status === 201 ? body : undefined
  })
  for (let n = 0; !stopping.aborted; n++) {
    const [path, body] =
      n % 2 === 0
        ? ['events/doorOpened', { id: `e-${n}`, data: { n } }]
        : ['telemetry', { id: `m-${n}`, values: { temperature: n % 4 === 1 ? 50 : 20 } }]
    await insisting(async () => {
      const response = await fetch(`${castor.deviceHttp}/device/v1/${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(5_000),
      })
      return response.status === 202 || undefined
    })
    await pace(PACE_MS)
  }
  // Half of them: others stay.
  if (Number(id.slice(2)) % 2 === 0)
    await insisting(async () => [204, 404].includes((await castor.rest('DELETE', `/v1/devices/${id}`)).status) || undefined)
}

function insisting<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  return until(attempt, 'it is taken', 60_000) as Promise<T>
}
