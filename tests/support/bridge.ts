/** A whole bridge inside the test's process, on a database of its own, with what tests need to look behind it. */
import { createHash } from 'node:crypto'
import pino from 'pino'
import type { Head, Message } from '../../api/ingest/log.ts'
import { readConfig } from '../../infra/config.ts'
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
