/** What the conditions of a rule are made of once they are parsed (parse.ts), and the limits of rules. */
import { parseDuration } from '../durations.ts'
import type { Comparison, Literal, Path, Tree } from '../filter/language.ts'

export const RULE_LIMITS = {
  /** Live rules for one model, with those that are for no model in particular: so many a device has at most. */
  live: 100,
  /** Of a tenant, drafts included. */
  rules: 1_000,
  versions: 10_000,
  functions: 8,
  windowMs: { least: 1_000, most: 86_400_000 },
  /** What count() counts up to. */
  count: 100,
  /** cost.ts. */
  cost: 100,
  text: 500,
  textPaths: 20,
  /** Text of an attribute that stands for a value: longer, it counts as absent. */
  attribute: 500,
} as const

/** In milliseconds, of a duration of a rule: these are looked at when it is written. */
export function spanMs(text: string): number {
  return parseDuration(text) ?? 0
}

/** What is compared, and where that stands, counted from 1. */
export type Subject = { at: number } & ({ kind: 'path'; path: Path } | { kind: 'call'; call: Call })

/** What it is compared with. An attribute is put in as a value when the rule is made ready for a device. */
export type Right = { at: number } & ({ kind: 'literal'; value: Literal } | { kind: 'attribute'; path: Path })

/** A function of readings; `health` is written as a path. What each means: twin-models/core/features.ts. */
export type Call =
  | { name: 'change' | 'deviation' | 'missing'; of: string; ms: number }
  | { name: 'count'; of: string; event: boolean; only?: { comparison: Comparison; value: Right }; ms: number }
  | { name: 'distance'; of: string; from: { lat: number; lon: number } | Path }
  | { name: 'health'; of: 'battery' | 'rssi' }

export type Condition = Tree<Subject, Right>
export type Leaf = Exclude<Condition, { kind: 'and' | 'or' } | { kind: 'not' }>

export function* leavesOf(condition: Condition): Generator<Leaf> {
  if ('terms' in condition) for (const term of condition.terms) yield* leavesOf(term)
  else if (condition.kind === 'not') yield* leavesOf(condition.term)
  else yield condition
}

/** Where it begins. */
export function positionOf(condition: Condition): number {
  for (const { path } of leavesOf(condition)) return path.at
  return 1
}

/** The attributes that it is compared with. */
export function* attributesOf(condition: Condition): Generator<Path> {
  for (const leaf of leavesOf(condition)) {
    if (leaf.path.kind === 'call') yield* attributesOfCall(leaf.path.call)
    if (leaf.kind === 'compare' && leaf.value.kind === 'attribute') yield leaf.value.path
  }
}

function* attributesOfCall(call: Call): Generator<Path> {
  if (call.name === 'distance' && Array.isArray(call.from)) yield call.from
  if (call.name === 'count' && call.only?.value.kind === 'attribute') yield call.only.value.path
}

/** The same for the same subject, wherever it stands. */
export function keyOf(subject: Subject): string {
  if (subject.kind === 'path') return JSON.stringify(subject.path)
  const { call } = subject
  if (call.name !== 'count' || !call.only) return JSON.stringify(call)
  const { at: _at, ...value } = call.only.value
  return JSON.stringify({ ...call, only: { comparison: call.only.comparison, value } })
}

const PLAIN = /^[A-Za-z_][A-Za-z0-9_-]*$/

export function written(path: readonly string[]): string {
  return path.map((segment, i) => (i === 0 || PLAIN.test(segment) ? segment : `"${segment.replaceAll('"', '""')}"`)).join('.')
}

/** As somebody would write it, for the reader of an error. */
export function nameOf(subject: Subject): string {
  if (subject.kind === 'path') return written(subject.path)
  const { call } = subject
  if (call.name === 'health') return `health.${call.of}`
  return `${call.name}(${call.name === 'count' && call.event ? 'events' : 'telemetry'}.${written(['', call.of]).slice(1)}…)`
}
