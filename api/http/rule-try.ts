/**
 * A rule tried on what is stored of devices, one after the other: bounded by readings, alarms and time, so many at once, and in slices, so that other
 * requests go on meanwhile.
 */
import { setImmediate as breath } from 'node:timers/promises'
import type { JsonObject, TwinRule } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type Needs, needsOf } from '../../twin-models/rules/needs.ts'
import { readyRule, type StoredRule } from '../../twin-models/rules/ready.ts'
import { type Recorded, type SimulatedAlarm, simulate } from '../../twin-models/rules/simulate.ts'
import { standingBefore } from '../../twin-models/rules/standing.ts'
import type { DeviceRow, Models } from '../ports.ts'
import type { RuleHistory } from '../rule-ports.ts'
import { modelGone } from './refusals.ts'

export const TRY_LIMITS = { devices: 20, readings: 200_000, alarms: 1_000, days: 7, atOnce: 2, ms: 60_000 } as const
const SLICE_MS = 20

export interface TryRequest {
  tenant: string
  rule: StoredRule
  devices: DeviceRow[]
  from: number
  to: number
}

export interface Tried {
  devices: Array<{ device: string; applies: boolean; readings: number; alarms: SimulatedAlarm[] }>
  readings: number
  /** There are more alarms than are told. */
  more: boolean
  /** It reads the battery or the signal, which are not stored with each change. */
  isOfHealth: boolean
}

export function createRuleTry({ history, models }: { history: RuleHistory; models: Models }) {
  let underWay = 0

  return async function tryRule(request: TryRequest): Promise<Tried> {
    if (underWay >= TRY_LIMITS.atOnce)
      throw new CastorError('too-many-requests', 'Other rules are being tried just now. Try again in some seconds.', {
        retryAfterSeconds: 5,
      })
    underWay++
    try {
      return await tried(request)
    } finally {
      underWay--
    }
  }

  async function tried({ tenant, rule, devices, from, to }: TryRequest): Promise<Tried> {
    const endsAt = performance.now() + TRY_LIMITS.ms
    const found: Tried = { devices: [], readings: 0, more: false, isOfHealth: false }
    let alarms = 0
    for (const row of devices) {
      const { device } = row
      const ready = readyRule(rule, { id: device, ...row, attributes: JSON.parse(row.attributes) as JsonObject })
      if (!ready || found.more) {
        found.devices.push({ device, applies: ready !== undefined, readings: 0, alarms: [] })
        continue
      }
      const needs = needsOf(ready)
      const recorded = await recordedOf(tenant, row, needs, from, to, TRY_LIMITS.readings - found.readings)
      // Before it was registered it had no twin: nothing was missing, and it was not away.
      const period = { from: Math.min(Math.max(from, row.createdAt), to), to, most: TRY_LIMITS.alarms - alarms }
      const simulated = await inSlices(ready, recorded, period, endsAt)
      found.devices.push({ device, applies: true, readings: recorded.readings.length, alarms: simulated.alarms })
      found.readings += recorded.readings.length
      found.more = simulated.more
      found.isOfHealth ||= needs.isOfHealth
      alarms += simulated.alarms.length
    }
    return found
  }

  async function recordedOf(tenant: string, row: DeviceRow, needs: Needs, from: number, to: number, most: number): Promise<Recorded> {
    const model = models.find(row.model)
    if (!model) throw modelGone(row.device, row.model)
    const { incarnation } = row
    const { names, deviceEvents, kinds } = needs
    const readings = await history.readings({ tenant, incarnation, names, from, to, most })
    const decided = readings && (await history.decisions({ incarnation, kinds, deviceEvents, from, most }))
    if (!decided) throw tooMany()
    const { now, events, reason } = decided
    return { settings: model.settings, standing: standingBefore(now, events, reason), events, ...readings }
  }
}

type Period = Parameters<typeof simulate>[2]

async function inSlices(rule: TwinRule, recorded: Recorded, period: Period, endsAt: number) {
  const steps = simulate(rule, recorded, period)
  for (let sliceEnd = performance.now() + SLICE_MS; ; ) {
    const step = steps.next()
    if (step.done) return step.value
    if (performance.now() < sliceEnd) continue
    if (performance.now() > endsAt)
      throw new CastorError('unavailable', 'This takes too long: try the rule on fewer devices, or a shorter time.', {
        retryAfterSeconds: 5,
      })
    await breath()
    sliceEnd = performance.now() + SLICE_MS
  }
}

function tooMany(): CastorError {
  const detail = `More than ${TRY_LIMITS.readings} readings or decisions are stored of these devices and properties: choose fewer devices, or a shorter time.`
  return new CastorError('too-large', detail, { errors: [{ path: '/from', detail }] })
}
