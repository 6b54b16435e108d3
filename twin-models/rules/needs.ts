/** What has to be known of a device, beside its attributes, to try a rule on what was recorded of it. */
import { featureNamed, isFeature } from '../core/features.ts'
import { atomsOf, conditionsOf, namesOf } from '../core/rule-names.ts'
import type { TwinEvent, TwinRule } from '../core/types.ts'

export interface Needs {
  /** Of properties. */
  names: string[]
  deviceEvents: string[]
  /** Of decisions. */
  kinds: Array<TwinEvent['kind']>
  /** It reads what is not recorded with each change: battery or signal. */
  isOfHealth: boolean
}

const KINDS: { [part: string]: Array<TwinEvent['kind']> } = {
  presence: ['presence-changed'],
  reported: ['reported-changed'],
  desired: ['desired-changed', 'desired-conflict', 'desired-diverged'],
  firmware: ['firmware-changed'],
  health: ['health-changed'],
}

export function needsOf(rule: TwinRule): Needs {
  const names = new Set<string>()
  const deviceEvents = new Set<string>()
  const parts = new Set<string>()
  let isOfHealth = false
  for (const name of namesOf(rule)) {
    const feature = isFeature(name) ? featureNamed(name) : undefined
    if (!feature) names.add(name)
    else if (feature.kind === 'health') {
      isOfHealth = true
      parts.add('health')
    } else if (feature.kind === 'count' && feature.event) deviceEvents.add(feature.of)
    else names.add(feature.of)
  }
  const paths = [...conditionsOf(rule).flatMap((condition) => [...atomsOf(condition)].map(({ path }) => path)), ...rule.text]
  for (const path of paths) {
    if (typeof path === 'string') continue
    const [part, name] = path
    // Whether a value is in its range follows from its readings.
    if (name !== undefined && (part === 'ranges' || (part === 'telemetry' && !isFeature(name)))) names.add(name)
    else parts.add(part)
  }
  return { names: [...names], deviceEvents: [...deviceEvents], kinds: [...parts].flatMap((part) => KINDS[part] ?? []), isOfHealth }
}
