/**
 * How long from the first byte of a PUBLISH until somebody who asks REST sees it: a few devices, one message at a time, in a process
 * of its own. `value`: the reading is there. `decision`: the message met a wake condition, and the twin's revision has risen.
 * REST is asked every few milliseconds, so the figure is at most that much too high, never too low.
 */
import { DeviceConnection } from './connection.ts'
import { HttpClient } from './http.ts'
import type { Credentials } from './packets.ts'
import { percentile } from './statistics.ts'

export interface ProbeJob {
  mqtt: { host: string; port: number }
  http: { host: string; port: number; key: string }
  devices: Array<Credentials & { device: string; topic: string }>
  until: 'value' | 'decision'
  seconds: number
}

export interface ProbeReport {
  samples: number
  p50Ms: number
  p99Ms: number
  maxMs: number
  /** Messages that were not seen within the timeout. */
  unseen: number
}

interface TwinSeen {
  revision: number
  telemetry?: { temperature?: { ts: string } }
}

const ASK_EVERY_MS = 5
const UNSEEN_MS = 15_000
/** Between two messages of a device: random, so that no tick of the server is met in step. */
const PAUSE_MS = 200

process.once('message', async (job: ProbeJob) => {
  const latencies: number[] = []
  let unseen = 0
  const until = performance.now() + job.seconds * 1000
  await Promise.all(
    job.devices.map(async (device) => {
      const probe = await Probe.connect(job, device)
      while (performance.now() < until) {
        const ms = await probe.once(job.until)
        if (ms === undefined) unseen++
        else latencies.push(ms)
        await pause(Math.random() * PAUSE_MS)
      }
      probe.close()
    }),
  )
  if (latencies.length === 0) latencies.push(Number.NaN)
  const [p50Ms, p99Ms, maxMs] = [50, 99, 100].map((p) => percentile(latencies, p)) as [number, number, number]
  process.send?.({ samples: latencies.length, p50Ms, p99Ms, maxMs, unseen } satisfies ProbeReport)
})
process.on('disconnect', () => process.exit(0))

class Probe {
  readonly #path: string
  readonly #http: HttpClient
  readonly #connection: DeviceConnection

  private constructor(path: string, http: HttpClient, connection: DeviceConnection) {
    this.#path = path
    this.#http = http
    this.#connection = connection
  }

  static async connect(job: ProbeJob, device: ProbeJob['devices'][number]): Promise<Probe> {
    const { topic, device: id, ...credentials } = device
    const payload = job.until === 'value' ? 'three' : 'crossing'
    return new Promise((resolve) => {
      const connection: DeviceConnection = new DeviceConnection(
        { ...job.mqtt, credentials, topic, payload, window: 1 },
        {
          connected: () => resolve(new Probe(`/v1/twins/${id}`, new HttpClient(job.http.host, job.http.port, job.http.key), connection)),
          acknowledged() {},
          closed() {},
        },
      )
      connection.connect()
    })
  }

  /** Milliseconds from publish to seen, undefined when it takes too long. */
  async once(until: 'value' | 'decision'): Promise<number | undefined> {
    const before = await this.#twin()
    while (!this.#connection.ready || this.#connection.free === 0) await pause(ASK_EVERY_MS)
    const from = performance.now()
    this.#connection.publish(from)
    const ts = new Date(this.#connection.lastTs).toISOString()
    while (performance.now() - from < UNSEEN_MS) {
      const twin = await this.#twin()
      const seen = until === 'value' ? twin.telemetry?.temperature?.ts === ts : twin.revision > before.revision
      if (seen) return performance.now() - from
      await pause(ASK_EVERY_MS)
    }
    return undefined
  }

  close(): void {
    this.#connection.stop()
    this.#http.close()
  }

  async #twin(): Promise<TwinSeen> {
    const { status, body } = await this.#http.get(this.#path)
    if (status !== 200) throw new Error(`${this.#path}: ${status} ${body.toString('utf8', 0, 300)}`)
    return JSON.parse(body.toString()) as TwinSeen
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
