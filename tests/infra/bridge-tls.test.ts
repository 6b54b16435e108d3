import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { messagesOf, payloads, registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { missing } from '../support/needs.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

describe.skipIf(missing('openssl'))('over TLS (needs openssl)', () => {
  let folder: string
  let ca: Buffer
  let database: TestDatabase
  let bridge: TestBridge
  let device: TestDevice

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-tls-'))
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject], {
      stdio: 'ignore',
    })
    ca = await readFile(cert)
    database = await testDatabase()
    bridge = await startTestBridge(database.url, {}, { MQTT_CERT_FILE: cert, MQTT_KEY_FILE: key })
    device = await registerDevice(database, 'tls-1')
  })
  afterAll(async () => {
    await bridge?.stop()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  })

  test('MQTT is accepted', async () => {
    const client = await mqtt.connectAsync(`mqtts://localhost:${bridge.securePort}`, {
      ca,
      username: `demo/${device.device}`,
      password: device.token,
      clientId: 'x',
    })
    await Promise.all([1, 2, 3].map((i) => client.publishAsync(`${device.prefix}telemetry`, `mqtts ${i}`, { qos: 1 })))
    await client.publishAsync(`${device.prefix}telemetry`, 'mqtts 4', { qos: 2 })
    await client.endAsync()
    expect(payloads(await messagesOf(database.sql, device.incarnation, 'telemetry'))).toEqual(['mqtts 1', 'mqtts 2', 'mqtts 3', 'mqtts 4'])
  })

  test('HTTP is accepted', async () => {
    const headers = { authorization: `Bearer ${device.token}`, 'content-type': 'application/json' }
    const status = await new Promise((resolve, reject) => {
      const call = request(`${bridge.secureUrl}/device/v1/events/hello`, { method: 'POST', ca, headers }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
      call.on('error', reject).end('{}')
    })
    expect(status).toBe(202)
    expect(await messagesOf(database.sql, device.incarnation, 'event')).toMatchObject([{ name: 'hello' }])
  })
})
