/**
 * Functions of the readings of one device that a rule may compare: how much a value changed, how often something happened, how far it is off.
 * Each has a name that says all of it, `change(temperature,300000)`, and stands among the readings under that name. The owner of the inbox
 * computes them with every reading that is news, so what they say does not depend on what is merged (docs/architecture.md §3.6).
 *
 *   change(NAME,MS)              the newest value less the oldest of the last MS; null with one value alone. Of values closer together than
 *                                a sixteenth of MS only the first counts as an oldest
 *   count(NAME?,MS,MOST)         readings of NAME, device events of !NAME, or readings that meet a comparison, in the last MS: up to MOST
 *   deviation(NAME,MS)           how many standard deviations the value is off the device's own mean; both are weighted by age, half after MS.
 *                                Null for the first 30 values. The deviation is at least a thousandth of the mean; what is more than three off
 *                                counts as three in them. Of values closer together than a 256th of MS only the first counts in them, once
 *                                there are 30
 *   distance(NAME,LAT,LON)       metres from there to a value {lat, lon}, on a sphere; null for any other value
 *   missing(NAME,MS)             true when no reading of NAME was received for MS
 *   health(battery), health(rssi)  as the device's hello says
 */

import type { Comparison } from '../filter/parse.ts'
import { isObject } from './plain.ts'
import type { Scalar, Value, WakeBounds } from './types.ts'

export type Feature =
  | { kind: 'change' | 'deviation' | 'missing'; of: string; ms: number }
  | { kind: 'count'; of: string; event: boolean; only?: { comparison: Comparison; value: Scalar }; ms: number; most: number }
  | { kind: 'distance'; of: string; lat: number; lon: number }
  | { kind: 'health'; of: 'battery' | 'rssi' }

/** What is kept of one between readings. */
export type FeatureState = number[]

const SAMPLES = 16
const STEPS = 256
const WARM_UP = 30
const CLIP = 3
const EARTH_METRES = 6_371_008.8

export function isFeature(name: string): boolean {
  return name.includes('(')
}

export function nameOfFeature(feature: Feature): string {
  switch (feature.kind) {
    case 'change':
    case 'deviation':
    case 'missing':
      return `${feature.kind}(${feature.of},${feature.ms})`
    case 'count': {
      const only = feature.only ? `${feature.only.comparison}${JSON.stringify(feature.only.value)}` : ''
      return `count(${feature.event ? '!' : ''}${feature.of}${only},${feature.ms},${feature.most})`
    }
    case 'distance':
      return `distance(${feature.of},${feature.lat},${feature.lon})`
    case 'health':
      return `health(${feature.of})`
  }
}

const parsed = new Map<string, Feature>()
const MOST_PARSED = 10_000

export function featureNamed(name: string): Feature {
  let feature = parsed.get(name)
  if (!feature) {
    feature = parse(name)
    if (parsed.size >= MOST_PARSED) parsed.clear()
    parsed.set(name, feature)
  }
  return feature
}

function parse(name: string): Feature {
  const [, kind, rest] = /^(\w+)\((.*)\)$/s.exec(name) ?? []
  const [, of, ...numbers] = /^([\w.-]+)(?:,(-?[\d.e+-]+))?(?:,(-?[\d.e+-]+))?$/.exec(rest ?? '') ?? []
  const [first, second] = numbers.map(Number)
  if (of !== undefined) {
    if ((kind === 'change' || kind === 'deviation' || kind === 'missing') && first !== undefined) return { kind, of, ms: first }
    if (kind === 'distance' && first !== undefined && second !== undefined) return { kind, of, lat: first, lon: second }
    if (kind === 'health' && (of === 'battery' || of === 'rssi')) return { kind, of }
  }
  const count = kind === 'count' ? /^(!?)([\w.-]+?)(?:(!=|<=|>=|=|<|>)(.*))?,(\d+),(\d+)$/s.exec(rest ?? '') : null
  if (count) {
    const [, event, of, comparison, value, ms, most] = count
    const only = comparison === undefined ? {} : { only: { comparison: comparison as Comparison, value: JSON.parse(value!) as Scalar } }
    return { kind: 'count', of: of!, event: event === '!', ...only, ms: Number(ms), most: Number(most) }
  }
  throw new Error(`There is no function of readings ${name}`)
}

export interface Fed {
  state: FeatureState
  value: Value
  /** What time it is of, where that is not `ts`: never one before what was told already. */
  at?: number
}

/** What a reading (or an event, without a value) of its name makes of it. `before`: what it was. */
export function feed(feature: Feature, state: FeatureState | undefined, value: Value, ts: number, receivedAt: number, before?: Value): Fed {
  switch (feature.kind) {
    case 'change':
      return change(feature.ms, state ?? [], value, ts)
    case 'count':
      return count(feature, state ?? [], value, ts, before)
    case 'deviation':
      return deviation(feature.ms, state ?? [], value, ts)
    case 'distance':
      return { state: state ?? [], value: distance(feature, value) }
    case 'missing': {
      // A matter of receipt, and another bridge may have had it for longer.
      const [since = receivedAt] = state ?? []
      return { state: [Math.max(receivedAt, since)], value: false, at: Math.max(receivedAt, before === true ? since + feature.ms : since) }
    }
    case 'health': {
      const [since = ts] = state ?? []
      const at = Math.max(ts, since)
      return { state: [at], value, at }
    }
  }
}

/** What time it was told of last, when its newest reading was of this time: `at` of that reading, but after something was missing. */
export function toldAt(feature: Feature, value: Value, state: FeatureState, ts: number): number {
  if (feature.kind === 'missing') return state[0]!
  return feature.kind === 'count' ? Math.max(ts, state.at(-1) ?? ts, fell(state, value as number) + feature.ms) : ts
}

/** What it is at this time, when nothing came. Only of those for which `timeCrossing` says that time changes them. */
export function valueAt(feature: Feature, state: FeatureState, at: number): Value {
  if (feature.kind === 'missing') return at >= state[0]! + feature.ms
  return state.filter((ts) => ts + (feature as { ms: number }).ms > at).length
}

/** When time alone takes it out of these bounds; without bounds, when it changes at all. Undefined: never. */
export function timeCrossing(feature: Feature, state: FeatureState, value: Value, bounds: WakeBounds | undefined): number | undefined {
  if (feature.kind === 'missing') return value === false ? state[0]! + feature.ms : undefined
  if (feature.kind !== 'count' || typeof value !== 'number' || value === 0) return undefined
  // The oldest that counts goes first. Beyond `most` there are none.
  const inside = state.slice(-value)
  if (bounds?.low === undefined) return bounds ? undefined : inside[0]! + feature.ms
  const least = Math.ceil(bounds.low)
  return least <= 0 || value < least ? undefined : inside[value - least]! + feature.ms
}

/** Samples: ts, value, ts, value, … the oldest first. */
function change(ms: number, state: FeatureState, value: Value, ts: number): Fed {
  if (typeof value !== 'number') return { state, value: null }
  // As it is mostly: none leaves, and none joins.
  if (state.length > 0 && state[0]! >= ts - ms && ts - state.at(-2)! < ms / SAMPLES) return { state, value: value - state[1]! }
  const samples: number[] = []
  for (let at = 0; at < state.length; at += 2) if (state[at]! >= ts - ms) samples.push(state[at]!, state[at + 1]!)
  const changed = samples.length === 0 ? null : value - samples[1]!
  if (samples.length === 0 || ts - samples.at(-2)! >= ms / SAMPLES) samples.push(ts, value)
  return { state: samples, value: changed }
}

/**
 * Times of what counts, the oldest first; one more than `most` never matters. An event may be older than another and makes that one the third,
 * say; and a reading that comes late changes nothing of what time was told to have made of it: it counts at that time. It stands in front of
 * the others then, as one that fell out of them just so.
 */
function count(
  { only, ms, most }: Extract<Feature, { kind: 'count' }>,
  state: FeatureState,
  value: Value,
  ts: number,
  before?: Value,
): Fed {
  const counts = !only || meets(value, only)
  // As it is mostly: none has fallen out just now, none falls, and none comes.
  if (!counts && state.length === before && (before === 0 || state[0]! + ms > Math.max(ts, state.at(-1)!)))
    return { state, value: before, at: Math.max(ts, state.at(-1) ?? ts) }
  const told = typeof before === 'number' ? fell(state, before) + ms : -Infinity
  const times = [...state, ...(counts ? [ts] : [])].sort((a, b) => a - b)
  const at = Math.max(ts, times.at(-1) ?? ts, told)
  const counted = times.filter((time) => time + ms > at).slice(-most)
  return { state: at === told ? [told - ms, ...counted] : counted, value: counted.length, at }
}

/** The one that fell out last, if it is still known. */
function fell(state: FeatureState, counted: number): number {
  return state[state.length - counted - 1] ?? -Infinity
}

function meets(value: Value, { comparison, value: limit }: NonNullable<Extract<Feature, { kind: 'count' }>['only']>): boolean {
  if (comparison === '=') return value === limit
  if (comparison === '!=') return value !== limit
  if (typeof value !== 'number' || typeof limit !== 'number') return false
  if (comparison === '<') return value < limit
  if (comparison === '<=') return value <= limit
  return comparison === '>' ? value > limit : value >= limit
}

/** State: number of values, mean, variance, ts. West's weighted update with a weight that halves in `ms`. */
function deviation(ms: number, state: FeatureState, value: Value, ts: number): Fed {
  if (typeof value !== 'number') return { state, value: null }
  const [known = 0, mean = value, variance = 0, before = ts] = state
  const isWarm = known >= WARM_UP
  const spread = Math.max(Math.sqrt(variance), Math.abs(mean) / 1000, Number.MIN_VALUE)
  const off = (value - mean) / spread
  const told = isWarm && Number.isFinite(off) ? Math.abs(off) : null
  if (isWarm && ts - before < ms / STEPS) return { state, value: told }
  const taken = isWarm ? mean + Math.max(-CLIP, Math.min(CLIP, off)) * spread : value
  // While there are few, each counts as much as the others.
  const weight = Math.max(1 - 2 ** (-(ts - before) / ms), known < WARM_UP ? 1 / (known + 1) : 0)
  const step = weight * (taken - mean)
  const next = [known < WARM_UP ? known + 1 : known, mean + step, (1 - weight) * (variance + step * (taken - mean)), ts]
  return { state: next.every(Number.isFinite) ? next : [], value: told }
}

/** Haversine. */
function distance({ lat, lon }: { lat: number; lon: number }, value: Value): Value {
  if (!isObject(value) || typeof value.lat !== 'number' || typeof value.lon !== 'number') return null
  const radians = (degrees: number) => (degrees * Math.PI) / 180
  const [dLat, dLon] = [radians(value.lat - lat), radians(value.lon - lon)]
  const half = Math.sin(dLat / 2) ** 2 + Math.cos(radians(lat)) * Math.cos(radians(value.lat)) * Math.sin(dLon / 2) ** 2
  return 2 * EARTH_METRES * Math.asin(Math.min(1, Math.sqrt(half)))
}
