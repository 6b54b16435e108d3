/**
 * What the figures of rollouts are made with: devices that update, firmware signed by a key of the bench, rollouts over REST, and their counts
 * straight from Postgres, outside of every figure.
 */
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import { type Json, type RestClient, restClient } from '../support/client.ts'
import { manifestOf, newKeyPair, sha256Of, signManifest } from '../support/signed-firmware.ts'
import type { Castor } from './castor.ts'
import { answerOf, endOf, forkBeside } from './children.ts'
import { connectionOf, type Fleet, MODEL, TENANT } from './fleet.ts'
import type { ObedientPlan, ObedientReport } from './obedient.ts'
import { until } from './webhook-kit.ts'

export const FIRMWARE = 'bench'
const CONNECT_MS = 300_000
const STALLED_MS = 180_000
const LOOK_MS = 250
const SAY_MS = 5_000

/** Devices of a rollout by what became of them: names of rollout_targets.status. */
export type TargetCounts = Record<string, number>

export type KitCastor = Pick<Castor, 'host' | 'httpPort' | 'mqttPort' | 'adminKey' | 'sql'>

export interface Rollout {
  id: string
  /** Until it is there. */
  startedAt: number
}

export class RolloutKit {
  readonly #castor: KitCastor
  readonly #say: (line: string) => void
  readonly #rest: RestClient
  readonly #devices: ChildProcess
  readonly #key = newKeyPair()
  #counter = 1

  private constructor(castor: KitCastor, say: (line: string) => void) {
    this.#castor = castor
    this.#say = say
    this.#rest = restClient(`http://${castor.host}:${castor.httpPort}`, castor.adminKey)
    this.#devices = forkBeside('obedient.ts')
  }

  static async start(castor: KitCastor, say: (line: string) => void): Promise<RolloutKit> {
    const kit = new RolloutKit(castor, say)
    await kit.#asked('POST', '/v1/release-keys', { name: 'bench', publicKey: kit.#key.pem })
    return kit
  }

  stop(): Promise<void> {
    return endOf(this.#devices)
  }

  /** They run `version`; of what is bad, each for whose number it is said cannot install it. */
  async connect(fleet: Fleet, version: string, fails: (n: number) => boolean = () => false): Promise<void> {
    const devices = Array.from({ length: fleet.count }, (_, n) => {
      const connection = connectionOf(fleet, n)
      const prefix = `castor/v1/${TENANT}/${connection.device}/`
      return { ...connection, prefix, firmware: { version, sha256: sha256Of(version) }, fails: fails(n) }
    })
    this.#devices.send({ host: this.#castor.host, port: this.#castor.mqttPort, devices } satisfies ObedientPlan)
    await answerOf<ObedientReport>(this.#devices, 'devices that update', CONNECT_MS)
    await this.#running(version, fleet.count)
  }

  report(): Promise<ObedientReport> {
    this.#devices.send('report')
    return answerOf<ObedientReport>(this.#devices, 'devices that update')
  }

  /** Signed and uploaded. */
  async firmware(version: string, size = 1_000): Promise<Manifest> {
    const content = randomBytes(size)
    const manifest = manifestOf(content, { name: FIRMWARE, model: MODEL, version, counter: this.#counter++, rollbackTo: [] })
    const form = new FormData()
    form.append('manifest', JSON.stringify(signManifest(manifest, this.#key)))
    form.append('file', new Blob([content]), 'image.bin')
    const response = await fetch(`http://${this.#castor.host}:${this.#castor.httpPort}/v1/firmware`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#castor.adminKey}` },
      body: form,
    })
    if (response.status !== 201) throw new Error(`POST /v1/firmware: ${response.status} ${(await response.text()).slice(0, 300)}`)
    return manifest
  }

  /** Of the devices that run `from`. It begins at once, and each update is healthy as soon as it says so. */
  async rollout(from: string, version: string, more: object = {}): Promise<Rollout> {
    const startedAt = performance.now()
    const { id } = await this.#asked('POST', '/v1/rollouts', {
      name: `${from} to ${version}`,
      firmware: { name: FIRMWARE, version },
      filter: `firmware.version = '${from}'`,
      soak: '0s',
      perSecond: 1_000,
      approval: 'none',
      ...more,
    })
    return { id, startedAt }
  }

  async act(id: string, action: string, body: object = {}): Promise<void> {
    await this.#asked('POST', `/v1/rollouts/${id}/${action}`, body)
  }

  async status(id: string): Promise<{ status: string; reason?: string }> {
    return this.#asked('GET', `/v1/rollouts/${id}`)
  }

  /** Waits for one of these, as long as something changes. The seconds since it was asked for. */
  async becomes({ id, startedAt }: Rollout, ...wanted: string[]): Promise<{ status: string; seconds: number; counts: TargetCounts }> {
    let [before, changedAt, saidAt] = ['', performance.now(), performance.now()]
    for (;;) {
      const { status, reason } = await this.status(id)
      const seconds = (performance.now() - startedAt) / 1000
      const counts = await this.counts(id)
      if (wanted.includes(status)) return { status, seconds, counts }
      const now = performance.now()
      const all = `${status}${reason ? ` (${reason})` : ''} ${JSON.stringify(counts)}`
      if (all !== before) [before, changedAt] = [all, now]
      if (now - changedAt > STALLED_MS) throw new Error(`the rollout does not become ${wanted.join(' or ')}: ${all}`)
      if (now - saidAt > SAY_MS) {
        this.#say(`  ${all}`)
        saidAt = now
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  async counts(id: string): Promise<TargetCounts> {
    const rows = await this.#castor.sql<Array<{ status: string; devices: number }>>`
      select status, count(*)::int as devices from rollout_targets where rollout = ${id} and not back group by status order by status`
    return Object.fromEntries(rows.map(({ status, devices }) => [status, devices]))
  }

  /** Devices that were told. */
  async touched(id: string): Promise<number> {
    const [row] = await this.#castor.sql<Array<{ devices: number }>>`
      select count(*)::int as devices from updates where rollout = ${id} and sent_at is not null`
    return row!.devices
  }

  /** As their twins know. */
  async #running(version: string, count: number): Promise<void> {
    await until(CONNECT_MS, `${count} twins know that ${version} runs`, async () => {
      const [row] = await this.#castor.sql<Array<{ twins: number }>>`
        select count(*)::int as twins from devices where tenant = ${TENANT} and decided -> 'firmware' ->> 'version' = ${version}`
      return row!.twins >= count
    })
  }

  async #asked(method: string, path: string, body?: unknown): Promise<Json> {
    const answer = await this.#rest(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
}
