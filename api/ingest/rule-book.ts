/**
 * Which rules are for which device: the live rules of all tenants, made ready for one device when that is asked. Whoever changes a rule leaves a
 * number; the book is read anew when it sees a greater one, and then the devices that stand at an older one are looked at, some with every tick.
 */

import { addInput, beginWithRules, passTime } from '../../twin-models/core/inbox.ts'
import { rulesNews } from '../../twin-models/core/inbox-features.ts'
import type { JsonObject, TwinRule } from '../../twin-models/core/types.ts'
import type { RuleDevice } from '../../twin-models/rules/ready.ts'
import type { Device } from './device.ts'
import type { DeviceCache } from './device-cache.ts'
import type { Lane, LaneStore, LiveRule, Registered } from './lane-store.ts'
import { touch, type Work } from './work.ts'

/** Looked at with one tick. */
const PER_TICK = 500

/** The live rules of one tenant, made ready for a device: those that are for it, by name. */
export type MakeRules = (rules: readonly LiveRule[]) => (device: RuleDevice) => TwinRule[]

export class RuleBook {
  readonly #store: LaneStore
  readonly #makeRules: MakeRules
  #tenants = new Map<string, (device: RuleDevice) => TwinRule[]>()
  #change = 0
  /** There may be devices that stand at an older change. */
  #isWalking = true

  constructor(store: LaneStore, makeRules: MakeRules) {
    this.#store = store
    this.#makeRules = makeRules
  }

  /** Before anything else of a tick. */
  async refresh(): Promise<void> {
    const { change, devices } = await this.#store.ruleChange()
    if (devices) this.#isWalking = true
    if (change === this.#change) return
    const rules = Map.groupBy(await this.#store.liveRules(), ({ tenant }) => tenant)
    this.#tenants = new Map([...rules].map(([tenant, rows]) => [tenant, this.#makeRules(rows)]))
    this.#change = change
    this.#isWalking = true
  }

  /** Lanes were taken over: nobody knows how far their former owner was. */
  lookAgain(): void {
    this.#isWalking = true
  }

  /** For devices that have no inbox yet: it will begin with their rules. */
  async prepare(devices: Device[]): Promise<void> {
    const fresh = devices.filter((device) => !device.stored && device.rules !== this.#change)
    const ruled = fresh.filter(({ tenant }) => this.#tenants.has(tenant))
    const facts =
      ruled.length === 0 ? new Map<number, Registered>() : await this.#store.registered(ruled.map(({ incarnation }) => incarnation))
    for (const device of fresh) {
      device.rules = this.#change
      device.firstRules = this.#rulesOf(device, facts.get(device.incarnation)?.attributes)
    }
  }

  /** Tells twins of rules that are others now, at the time of their lanes. */
  async walk(lanes: ReadonlyMap<number, Lane>, devices: DeviceCache, work: Work): Promise<void> {
    // On a new Castor the lanes have no time yet.
    if (!this.#isWalking || [...lanes.values()].some(({ watermark }) => watermark === 0)) return
    const found = await this.#store.outdated([...lanes.keys()], PER_TICK)
    if (found.length < PER_TICK) this.#isWalking = false
    if (found.length === 0) return
    const incarnations = found.map(({ incarnation }) => incarnation)
    await devices.load(incarnations)
    const facts = await this.#store.registered(incarnations)
    for (const outdated of found) {
      const { incarnation } = outdated
      const device = devices.get(incarnation)
      const fact = facts.get(incarnation)
      if (device?.model && fact && fact.model !== device.model.name) {
        // It is another one since this tick began: its new settings come first.
        this.#isWalking = true
        continue
      }
      work.changes.reruled.push(outdated)
      if (!device) continue
      device.rules = this.#change
      device.dirtyRules = true
      touch(work, device)
      const news = rulesNews(device.inbox.features, this.#rulesOf(device, fact?.attributes))
      if (!news) continue
      const { watermark, graceSince } = lanes.get(device.lane)!
      const at = Math.max(watermark, device.lastSeen)
      device.inbox.graceSince = graceSince
      passTime(device.inbox, at)
      addInput(device.inbox, { kind: 'rules', at, ...news })
    }
  }

  #rulesOf({ tenant, device: id, model }: Device, attributes = '{}'): TwinRule[] {
    const make = this.#tenants.get(tenant)
    if (!make || !model) return []
    return make({ id, model: model.name, modelVersion: model.version, attributes: JSON.parse(attributes) as JsonObject })
  }
}

/** Its first message, or the first request to it: what comes now is judged by its rules. */
export function beginRules(device: Device, at: number): void {
  if (device.firstRules.length === 0 || !device.model) return
  beginWithRules(device.inbox, device.model.settings, device.firstRules, at)
  device.firstRules = []
  device.dirtyRules = true
}
