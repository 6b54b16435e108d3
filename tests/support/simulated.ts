/** What tests of firmware do with a whole Castor: ask it and expect no refusal, upload, and run simulated devices against it. */
import { join } from 'node:path'
import { createFleet, type Fleet, type FleetOptions } from '../../infra/simulator/fleet.ts'
import { createRegistrar } from '../../infra/simulator/registration.ts'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import type { TestCastor } from './castor.ts'
import type { Json } from './client.ts'
import { type KeyPair, signManifest } from './signed-firmware.ts'
import { until } from './wait.ts'

const CONNECT_MS = 90_000

/** Throws what was refused. */
export async function asked(castor: TestCastor, method: string, path: string, body?: unknown): Promise<Json> {
  const answer = await castor.rest(method, path, body)
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** Its id. */
export async function upload(castor: TestCastor, key: KeyPair, manifest: Manifest, content: Buffer): Promise<string> {
  const form = new FormData()
  form.append('manifest', JSON.stringify(signManifest(manifest, key)))
  form.append('file', new Blob([new Uint8Array(content)]), 'image.bin')
  const headers = { authorization: `Bearer ${castor.key}` }
  const answer = await fetch(`${castor.api}/v1/firmware`, { method: 'POST', headers, body: form })
  const text = await answer.text()
  if (answer.status !== 201) throw new Error(`POST /v1/firmware: ${answer.status} ${text}`)
  return JSON.parse(text).id
}

/** One thermostat over MQTT unless told otherwise. It is there when the twins of all know what runs on them. */
export async function simulated(castor: TestCastor, prefix: string, options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = createFleet({
    ...{ devices: 1, models: ['thermostat'], intervalMs: 2_000, prefix, seed: prefix, httpShare: 0, chaos: false, dayMs: 86_400_000 },
    ...{ keepaliveSeconds: 10, tenant: 'demo', mqttUrl: castor.mqttUrl, deviceHttpUrl: castor.deviceHttp },
    registrar: createRegistrar({ restUrl: castor.api, key: castor.key, tokensFile: join(castor.dataDir, `${prefix}tokens.json`) }),
    ...options,
  })
  await fleet.register()
  fleet.start()
  await until(
    async () => {
      const [row] = await castor.sql<[{ known: number }]>`
        select count(*)::int as known from devices where device = any(${fleet.ids}::text[]) and decided #>> '{firmware,version}' is not null`
      return row.known === fleet.ids.length
    },
    `the twins of ${prefix} know what runs`,
    CONNECT_MS,
  )
  return fleet
}
