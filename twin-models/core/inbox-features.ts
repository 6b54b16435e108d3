/**
 * The functions of readings that the rules of one device compare (features.ts), as the owner of its inbox keeps them up: with every reading that
 * is news, and as time passes. Which there are follows from the rules that were put into the inbox, from that moment on.
 */
import { type Place, placesIn, placesOf } from './feature-places.ts'
import { type Feature, type FeatureState, featureNamed, feed, timeCrossing, toldAt, valueAt } from './features.ts'
import type { Hello } from './hellos.ts'
import { own } from './plain.ts'
import { featuresOf } from './rule-names.ts'
import type { TwinRule } from './rule-types.ts'
import type { Reading, Value, Wake } from './types.ts'

export interface InboxFeatures {
  /** By rule that the twin was told of: what it was told, shortened, and the names of those that it compares. */
  rules: { [rule: string]: [hash: string, ...names: string[]] }
  /** By name: what it is now, and what is kept of it. */
  known: { [name: string]: Known }
}

/** Never changed in place: another value is another tuple, another state another array. */
export type Known = readonly [value: Value, state: FeatureState]

/** How the rules that are for it now differ from those that the twin was told of. Undefined: they do not. */
export function rulesNews(features: InboxFeatures | null, rules: TwinRule[]): { set: TwinRule[]; removed: string[] } | undefined {
  const known = features?.rules ?? {}
  const set = rules.filter((rule) => own(known, rule.id)?.[0] !== hashOf(rule))
  const removed = Object.keys(known).filter((id) => !rules.some((rule) => rule.id === id))
  return set.length === 0 && removed.length === 0 ? undefined : { set, removed }
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
  const rules: InboxFeatures['rules'] = all ? {} : { ...features?.rules }
  for (const id of removed) delete rules[id]
  for (const rule of set) rules[rule.id] = [hashOf(rule), ...featuresOf(rule)]
  const known: InboxFeatures['known'] = {}
  const begun: Reading[] = []
  for (const name of namesCompared(rules)) {
    const before = own(features?.known ?? {}, name)
    known[name] = before ?? begin(name, at)
    if (!before) begun.push({ name, value: known[name][0], ts: at, receivedAt: at, timed: true })
  }
  return { features: Object.keys(rules).length === 0 ? null : { rules, known }, begun }
}

/** The functions that these rules compare, each once, in an order that is always the same. */
export function namesCompared(rules: InboxFeatures['rules']): Set<string> {
  return new Set(Object.values(rules).flatMap(([, ...names]) => names))
}

/** FNV-1a, 53 bits of two runs: enough to see that a rule is another one. */
function hashOf(rule: TwinRule): string {
  const text = JSON.stringify(rule)
  let [a, b] = [0x811c9dc5, 0x01000193]
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193)
    b = Math.imul(b ^ text.charCodeAt(i), 0x85ebca6b)
  }
  return `${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`
}

/** What becomes of those of a property that has a new reading: readings of the same time. */
export function fedBy({ known }: InboxFeatures, reading: Reading, isEvent = false): Reading[] {
  return placesOf(known, reading.name, isEvent).map((place) => take(known, place, reading))
}

/** As `fedBy`, but only as long as each of what becomes of them is routine: false, and nothing has changed, when one is not. */
export function keepUp({ known }: InboxFeatures, readings: Reading[], isRoutine: (fed: Reading) => boolean): boolean {
  const changed: string[] = []
  const before: Known[] = []
  // One for all: it is asked for every function with every message.
  const fed: Reading = { name: '', value: null, ts: 0, receivedAt: 0 }
  for (const { name: of, value, ts, receivedAt } of readings) {
    for (const { name, feature } of placesOf(known, of, false)) {
      const was = known[name]!
      const is = feed(feature, was[1], value, ts, receivedAt, was[0])
      fed.name = name
      fed.value = is.value
      fed.ts = is.at ?? ts
      fed.receivedAt = receivedAt
      if (!isRoutine(fed) || fed.ts !== toldAt(feature, is.value, is.state, ts)) {
        for (let n = before.length - 1; n >= 0; n--) known[changed[n]!] = before[n]!
        return false
      }
      if (is.value === was[0] && is.state === was[1]) continue
      if (feature.kind === 'count' || was[0] === true) quietUntil.delete(known)
      changed.push(name)
      before.push(was)
      known[name] = [is.value, is.state]
    }
  }
  return true
}

/** The functions of a property as they stand, as readings of their own; its newest reading was of this time. */
export function standing({ known }: InboxFeatures, of: string, ts: number, receivedAt: number): Reading[] {
  return placesOf(known, of, false).map(({ name, feature }) => {
    const [value, state] = known[name]!
    return { name, value, ts: toldAt(feature, value, state, ts), receivedAt }
  })
}

/** The same of a hello: the numbers of its health. */
export function fedByHealth({ known }: InboxFeatures, { health, at, messageId }: Pick<Hello, 'health' | 'at' | 'messageId'>): Reading[] {
  const found: Reading[] = []
  for (const part of ['battery', 'rssi'] as const) {
    const value = health?.[part]
    const name = `health(${part})`
    if (value === undefined || !Object.hasOwn(known, name)) continue
    const place = { name, feature: featureNamed(name) }
    found.push(take(known, place, { name, value, ts: at, receivedAt: at, ...(messageId !== undefined && { messageId }) }))
  }
  return found
}

/**
 * What time alone has made of them before then, in order: what is received at that very moment comes first. Nothing is missing because we could not
 * receive it: that counts from `graceSince` at the earliest.
 */
export function passed({ known }: InboxFeatures, until: number, graceSince = 0): Reading[] {
  const found: Reading[] = []
  for (const { name, feature } of placesIn(known).timed) {
    for (;;) {
      const [value, state] = withGrace(feature, known[name]!, graceSince)
      const at = timeCrossing(feature, state, value, undefined)
      if (at === undefined || at >= until) break
      const after = valueAt(feature, state, at)
      known[name] = [after, state]
      quietUntil.delete(known)
      found.push({ name, value: after, ts: at, receivedAt: at, timed: true })
    }
  }
  return found.sort((a, b) => a.ts - b.ts)
}

/**
 * Not before then does time alone make anything of them, so that it is not looked for with every message: known until a count changes, or what was
 * missing comes. With readings of others it only moves on.
 */
const quietUntil = new WeakMap<InboxFeatures['known'], number>()

/** Whether `passed` would find anything. */
export function hasPassed(features: InboxFeatures, until: number, graceSince: number): boolean {
  const { known } = features
  const quiet = quietUntil.get(known)
  if (quiet !== undefined && until <= quiet) return false
  const next = nextPassing(features, undefined, graceSince) ?? Infinity
  quietUntil.set(known, next)
  return next < until
}

/** When time alone will make of one what the twin wants to know. Without `wake`: anything. */
export function nextPassing({ known }: InboxFeatures, wake: Wake | undefined, graceSince = 0): number | undefined {
  let next: number | undefined
  for (const { name, feature } of placesIn(known).timed) {
    const [value, state] = withGrace(feature, known[name]!, graceSince)
    const bounds = wake && own(wake.bounds, name)
    const at = wake && !bounds ? undefined : timeCrossing(feature, state, value, bounds)
    if (at !== undefined && (next === undefined || at < next)) next = at
  }
  return next
}

function withGrace({ kind }: Feature, known: Known, graceSince: number): Known {
  return kind === 'missing' && known[0] === false && known[1][0]! < graceSince ? [false, [graceSince]] : known
}

function begin(name: string, at: number): Known {
  const feature = featureNamed(name)
  if (feature.kind === 'missing') return [false, [at]]
  // As if the last of them had just fallen out: what comes late is of before.
  return feature.kind === 'count' ? [0, [at - feature.ms]] : [null, []]
}

function take(known: InboxFeatures['known'], { name, feature }: Place, { value, ts, receivedAt, messageId }: Reading): Reading {
  const [before, state] = known[name]!
  const fed = feed(feature, state, value, ts, receivedAt, before)
  known[name] = [fed.value, fed.state]
  quietUntil.delete(known)
  const reading: Reading = { name, value: fed.value, ts: fed.at ?? ts, receivedAt }
  if (messageId !== undefined) reading.messageId = messageId
  return reading
}
