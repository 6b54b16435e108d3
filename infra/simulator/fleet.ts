/** Many simulated devices together: registers them, sets them going, and brings them home. */
import { createMischief } from './chaos.ts'
import { createSimulatedDevice, type WearOptions } from './devices/device.ts'
import { createFlash, type Flash } from './firmware/flash.ts'
import { openHttpLink } from './http-link.ts'
import { openMqttLink } from './mqtt-link.ts'
import { type Plan, type PlanOptions, planOf } from './plan.ts'
import { createRandom } from './random.ts'
import { HARDWARE, type Registrar } from './registration.ts'
import { type AcknowledgedMessage, acknowledgedMessage, createFigures, type Figures } from './report.ts'
import { createSimulatedClient, type SimulatedClient } from './simulated-client.ts'

export interface FleetOptions extends PlanOptions, WearOptions {
  devices: number
  intervalMs: number
  seed: string
  chaos: boolean
  /** How long a sleeper sleeps. */
  checkInMs?: number
  /** How long a simulated day lasts. */
  dayMs: number
  keepaliveSeconds: number
  tenant: string
  mqttUrl: string
  deviceHttpUrl: string
  registrar: Registrar
  /** Absent: a second run begins with the firmware that the devices came with. */
  flash?: Flash
  acknowledged?(message: AcknowledgedMessage): void
}

export interface Fleet {
  readonly figures: Figures
  readonly ids: string[]
  /** How many are registered so far. */
  readonly registered: number
  /** Ends early when aborted. */
  register(aborted?: AbortSignal): Promise<void>
  start(): void
  /** No more mischief from now on. */
  behave(): void
  /** Nothing new is measured; waits until all is acknowledged, at most this long. */
  settle(timeoutMs: number): Promise<void>
  stop(goodbye: boolean): Promise<void>
  /** Messages that still wait for their acknowledgement. */
  unacknowledged(): number
}

const CHECK_IN_MS = 30_000
/** MQTT keeps the order of what is under way; requests do not. */
const WINDOW = { mqtt: 20, http: 1 } as const
/** For an answer to the question what is pending. A sleeper asks again, and then sleeps. */
const WAIT_SECONDS = { awake: 30, sleeper: 1 } as const
const REGISTRATIONS_AT_ONCE = 16
const SAVE_EVERY = 200
const LONGEST_RAMP_MS = 10_000
const SETTLE_POLL_MS = 50

export function createFleet(options: FleetOptions): Fleet {
  const figures = createFigures()
  const plans = Array.from({ length: options.devices }, (_, i) => planOf(options, i))
  const clients: SimulatedClient[] = []
  const behaviour = { mischievous: options.chaos }
  let registered = 0

  async function register(aborted?: AbortSignal): Promise<void> {
    const tokens = new Map<string, string>()
    const queue = plans.values()
    const worker = async () => {
      for (const { id, kind } of queue) {
        if (aborted?.aborted) return
        tokens.set(id, await options.registrar.tokenOf(id, kind))
        registered += 1
        if (registered % SAVE_EVERY === 0) options.registrar.save()
      }
    }
    try {
      await options.registrar.keys.refresh()
      await Promise.all(Array.from({ length: REGISTRATIONS_AT_ONCE }, worker))
    } finally {
      options.registrar.save()
    }
    for (const plan of plans) {
      const token = tokens.get(plan.id)
      if (token !== undefined) clients.push(clientOf(options, plan, token, figures, behaviour))
    }
  }

  return {
    figures,
    ids: plans.map((plan) => plan.id),
    get registered() {
      return registered
    },
    register,
    start() {
      // Spread out, as real devices are.
      const ramp = Math.min(options.intervalMs, LONGEST_RAMP_MS)
      clients.forEach((client, i) => {
        client.start((i / clients.length) * ramp)
      })
    },
    behave() {
      behaviour.mischievous = false
    },
    async settle(timeoutMs) {
      for (const client of clients) client.quiet()
      const until = Date.now() + timeoutMs
      while (unacknowledged(clients) > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS))
    },
    async stop(goodbye) {
      await Promise.all(clients.map((client) => client.stop(goodbye)))
      options.registrar.save()
      options.flash?.save()
    },
    unacknowledged: () => unacknowledged(clients),
  }
}

function clientOf(
  options: FleetOptions,
  { id, kind, overHttp, sleeps, refuses, slow, fate, locks }: Plan,
  token: string,
  figures: Figures,
  behaviour: { mischievous: boolean },
): SimulatedClient {
  const random = createRandom(`${options.seed}/${id}`)
  const open = overHttp ? openHttpLink : openMqttLink
  const link = {
    url: overHttp ? options.deviceHttpUrl : options.mqttUrl,
    tenant: options.tenant,
    device: id,
    keepaliveSeconds: options.keepaliveSeconds,
    waitSeconds: sleeps ? WAIT_SECONDS.sleeper : WAIT_SECONDS.awake,
  }
  return createSimulatedClient({
    tenant: options.tenant,
    id,
    hardware: HARDWARE,
    fate,
    locks,
    keys: options.registrar.keys,
    flash: options.flash ?? createFlash(),
    device: createSimulatedDevice(kind, random.fork('device'), Date.now(), options.dayMs, options),
    intervalMs: options.intervalMs,
    withIds: kind === 'pump',
    saysGoodbye: !overHttp,
    window: overHttp ? WINDOW.http : WINDOW.mqtt,
    temper: { refuses, slow },
    checkInMs: sleeps ? (options.checkInMs ?? CHECK_IN_MS) : undefined,
    random: random.fork('client'),
    mischief: createMischief(id, random.fork('mischief'), () => behaviour.mischievous),
    figures,
    open: (current, will, events) => open({ ...link, token: current, will }, events),
    token,
    renewToken: () => options.registrar.renew(id, kind),
    acknowledged: (message, at) => options.acknowledged?.(acknowledgedMessage(id, message, at)),
  })
}

function unacknowledged(clients: SimulatedClient[]): number {
  return clients.reduce((sum, client) => sum + client.unacknowledged, 0)
}
