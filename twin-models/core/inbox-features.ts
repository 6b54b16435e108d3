/**
 * The functions of readings that the rules of one device compare (features.ts), as the owner of its inbox keeps them up: with every reading that
 * is news, and as time passes. Which there are follows from the rules that were put into the inbox, from that moment on.
 */
import { type FeatureState, featureNamed, feed, timeCrossing, valueAt } from './features.ts'
import { own } from './plain.ts'
import { featuresOf } from './rule-names.ts'
import type { TwinRule } from './rule-types.ts'
import type { Reading, Value, Wake } from './types.ts'

export interface InboxFeatures {
  /** By rule: the names of those that it compares. */
  uses: { [rule: string]: string[] }
  /** By name: what it is now, and what is kept of it. */
  known: { [name: string]: [value: Value, state: FeatureState] }
}

/**
 * With other rules. What is still compared goes on as it stands; `missing` counts from now where nothing was received since. `begun`: what those
 * that are new are to begin with.
 */
export function withRules(
  features: InboxFeatures | null,
  { set, removed, all = false }: { set: TwinRule[]; removed: string[]; all?: boolean },
  at: number,
): { features: InboxFeatures | null; begun: Reading[] } {
  const uses: InboxFeatures['uses'] = all ? {} : { ...features?.uses }
  for (const id of removed) delete uses[id]
  for (const rule of set) {
    const names = featuresOf(rule)
    if (names.length > 0) uses[rule.id] = names
    else delete uses[rule.id]
  }
  const known: InboxFeatures['known'] = {}
  const begun: Reading[] = []
  for (const name of new Set(Object.values(uses).flat())) {
    const before = own(features?.known ?? {}, name)
    known[name] = before ?? begin(name, at)
    if (!before) begun.push({ name, value: known[name][0], ts: at, receivedAt: at })
  }
  return { features: Object.keys(known).length === 0 ? null : { uses, known }, begun }
}

/** What becomes of those of a property that has a new reading: readings of the same time. */
export function fedBy({ known }: InboxFeatures, reading: Reading, isEvent = false): Reading[] {
  const found: Reading[] = []
  for (const name of Object.keys(known)) {
    const feature = featureNamed(name)
    if (feature.of !== reading.name || feature.kind === 'health' || (feature.kind === 'count' && feature.event) !== isEvent) continue
    found.push(take(known, name, reading))
  }
  return found
}

/** The same of a hello: the numbers of its health. */
export function fedByHealth({ known }: InboxFeatures, health: { battery?: number; rssi?: number }, at: number): Reading[] {
  const found: Reading[] = []
  for (const part of ['battery', 'rssi'] as const) {
    const value = health[part]
    const name = `health(${part})`
    if (value !== undefined && Object.hasOwn(known, name)) found.push(take(known, name, { name, value, ts: at, receivedAt: at }))
  }
  return found
}

/** What time alone has made of them before then, in order: what is received at that very moment comes first. */
export function passed({ known }: InboxFeatures, until: number): Reading[] {
  const found: Reading[] = []
  for (const name of Object.keys(known)) {
    for (;;) {
      const [value, state] = known[name]!
      const at = timeCrossing(featureNamed(name), state, value, undefined)
      if (at === undefined || at >= until) break
      const after = valueAt(featureNamed(name), state, at)
      known[name] = [after, state]
      found.push({ name, value: after, ts: at, receivedAt: at, timed: true })
    }
  }
  return found.sort((a, b) => a.ts - b.ts)
}

/** When time alone will make of one what the twin wants to know. */
export function nextPassing({ known }: InboxFeatures, wake: Wake): number | undefined {
  let next: number | undefined
  for (const [name, [value, state]] of Object.entries(known)) {
    const bounds = own(wake.bounds, name)
    const at = bounds && timeCrossing(featureNamed(name), state, value, bounds)
    if (at !== undefined && (next === undefined || at < next)) next = at
  }
  return next
}

function begin(name: string, at: number): [Value, FeatureState] {
  const feature = featureNamed(name)
  if (feature.kind === 'missing') return [false, [at]]
  return [feature.kind === 'count' ? 0 : null, []]
}

function take(known: InboxFeatures['known'], name: string, { value, ts, receivedAt, messageId }: Reading): Reading {
  const feature = featureNamed(name)
  const fed = feed(feature, known[name]![1], value, ts, receivedAt)
  known[name] = [fed.value, fed.state]
  // Whether something is missing is a matter of receipt.
  return {
    name,
    value: fed.value,
    ts: feature.kind === 'missing' ? receivedAt : ts,
    receivedAt,
    ...(messageId !== undefined && { messageId }),
  }
}
