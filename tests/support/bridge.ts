/** A whole bridge inside the test's process, on a database of its own, with what tests need to look behind it. */
import { createHash } from 'node:crypto'
import pino from 'pino'
import type { Head, Message } from '../../api/ingest/log.ts'
import { readConfig } from '../../infra/config.ts'
import { DOWNLINK_CHANNEL } from '../../infra/postgres/announcer.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { type BridgeOverrides, startBridge } from '../../infra/processes/bridge.ts'
import type { RunningProcess } from '../../infra/processes/process.ts'
import { freePort } from './free-port.ts'
import type { TestDatabase } from './postgres.ts'

export interface TestBridge extends RunningProcess {
  port: number
  /** Of device HTTP. */
  url: string
  /** The same over TLS, when `env` names a certificate. */
  securePort: number
  secureUrl: string
}

export async function startTestBridge(
  databaseUrl: string,
  overrides: BridgeOverrides = {},
  env: Record<string, string> = {},
): Promise<TestBridge> {
  const [mqtt, http, mqtts, https] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const config = readConfig({
    DATABASE_URL: databaseUrl,
    CASTOR_MQTT_PORT: String(mqtt),
    CASTOR_MQTTS_PORT: String(mqtts),
    CASTOR_DEVICE_HTTP_PORT: String(http),
    CASTOR_DEVICE_HTTPS_PORT: String(https),
    CASTOR_DATA_DIR: '/nowhere',
    ...env,
  })
  const health = { ready: () => ({ ready: true, processes: {} }), readyAll: never, metrics: never, metricsAll: never }
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' })
  const running = await startBridge({ config, log, health, fail: () => {} }, overrides)
  return { ...running, port: mqtt, url: `http://127.0.0.1:${http}`, securePort: mqtts, secureUrl: `https://127.0.0.1:${https}` }
}

function never(): Promise<never> {
  return Promise.reject(new Error('not here'))
}

export interface TestDevice {
  tenant: string
  device: string
  incarnation: number
  token: string
  prefix: string
}

export async function registerDevice({ sql }: TestDatabase, device: string, tenant = 'demo'): Promise<TestDevice> {
  const token = `token-${tenant}-${device}-${Math.random()}`
  await sql`insert into tenants (tenant) values (${tenant}) on conflict do nothing`
  const [row] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash)
    values (${tenant}, ${device}, 'thermostat', '1.0.0', ${hashOf(token)}) returning incarnation`
  return { tenant, device, incarnation: row.incarnation, token, prefix: `castor/v1/${tenant}/${device}/` }
}

export interface TestWish {
  version: number
  state: object
  retryMs: number
  answered: boolean
}

/** As the decision write leaves it. */
export async function wish(sql: Sql, { incarnation }: TestDevice, given: Partial<TestWish> = {}): Promise<void> {
  const { version = 1, state = { targetTemperature: 20 + version }, retryMs = 60_000, answered = false } = given
  await sql`
    insert into wishes (incarnation, version, body, answered, retry_ms)
    values (${incarnation}, ${version}, ${JSON.stringify({ version, state })}, ${answered}, ${retryMs})
    on conflict (incarnation) do update set version = excluded.version, body = excluded.body, answered = excluded.answered,
      retry_ms = excluded.retry_ms, sent_at = null, attempts = 0`
}

export interface TestCommand {
  name: string
  input: unknown
  repeatable: boolean
  retryMs: number
  maxAttempts: number
  expiresInMs: number
  released: boolean
}

/** As REST and the decision that releases it leave it; gives its id. */
export async function command(sql: Sql, { tenant, device, incarnation }: TestDevice, given: Partial<TestCommand> = {}): Promise<string> {
  const { name = 'identify', input, repeatable = true, retryMs = 60_000, maxAttempts = 10, expiresInMs = 60_000, released = true } = given
  const [row] = await sql<[{ id: string }]>`
    insert into commands (id, tenant, incarnation, device, name, input, requested_by, repeatable, retry_ms, max_attempts, expires_at, released_at)
    values (gen_random_uuid(), ${tenant}, ${incarnation}, ${device}, ${name}, ${input === undefined ? null : JSON.stringify(input)}, 'test',
      ${repeatable}, ${retryMs}, ${maxAttempts}, now() + make_interval(secs => ${expiresInMs / 1000}::float8), ${released ? sql`now()` : null})
    returning id`
  return row.id
}

/** As the decision that ends it leaves it: the device hears of it if it had heard of the command. */
export async function cancelCommand(sql: Sql, id: string): Promise<void> {
  await sql`
    update commands set status = 'cancelled', ended_at = now(), cancel_at = case when sent_at is not null then now() end where id = ${id}`
}

export async function commandRow(sql: Sql, id: string): Promise<{ status: string; attempts: number; told: boolean }> {
  const [row] = await sql<[{ status: string; attempts: number; told: boolean }]>`
    select status, attempts, cancel_sent_at is not null as told from commands where id = ${id}`
  return row
}

/** What the worker says after its decisions. */
export async function announce(sql: Sql, ...devices: TestDevice[]): Promise<void> {
  await sql`select pg_notify(${DOWNLINK_CHANNEL}, ${devices.map(({ incarnation }) => incarnation).join(',')})`
}

export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** All that the log has of a device, in order. */
export async function messagesOf(sql: Sql, incarnation: number, ...kinds: Message['kind'][]): Promise<Message[]> {
  const rows = await sql<Array<{ heads: string; body: Buffer }>>`
    select heads, body from ingest_log where lane = ${incarnation % 16} order by at, stream, seq`
  return rows
    .flatMap(({ heads, body }) => {
      let start = 0
      return (JSON.parse(heads) as Head[]).map(
        ([incarnation, kind, receivedAt, length, name, connection, id, contentType, trace, size]) => {
          const payload = body.subarray(start, start + length)
          start += length
          return { incarnation, kind, receivedAt, payload, size: size ?? length, name, connection, id, contentType, trace } as Message
        },
      )
    })
    .filter((message) => message.incarnation === incarnation && (kinds.length === 0 || kinds.includes(message.kind)))
}

export function payloads(messages: Message[]): string[] {
  return messages.map(({ payload }) => Buffer.from(payload).toString())
}
