/**
 * Rules made ready for one device, as its twin carries them: parsed once a version, with what they read of the device's attributes put in. The same
 * rule and the same attributes always give the same; devices that do not differ in what a rule reads of them share one object.
 */
import type { JsonObject, TwinRule, Value } from '../core/types.ts'
import { matches } from '../filter/evaluate.ts'
import { type Filter, type Path, parseFilter } from '../filter/parse.ts'
import type { RuleBody } from '../schemas/rule.ts'
import { zoneFor } from '../windows.ts'
import { attributesOf, type Condition, RULE_LIMITS, spanMs } from './language.ts'
import { parseCondition } from './parse.ts'
import { putIn, valueAt } from './put-in.ts'
import { parseText, type TextPart } from './text.ts'
import { scheduleOf } from './zone-table.ts'

/** A live rule as stored. Keep the object: what it says is parsed once for it. */
export interface StoredRule {
  name: string
  version: number
  /** Null: any, as the filter says. */
  model: string | null
  filter: string | null
  /** JSON of a RuleBody. */
  body: string
  /** Of the version, epoch milliseconds. */
  createdAt: number
}

/** What of a device decides which rules are for it, and what they say. */
export interface RuleDevice {
  id: string
  model: string
  modelVersion: string
  attributes: JsonObject
}

const MOST_VARIANTS = 1_000
const KEY_LENGTH = 1_000
const VALUE_LENGTH = 100
const DIGITS = 6
const TIME_ZONE: Path = ['attributes', 'timeZone']

/** Those that are for the device, by name. `onBroken`: of one that cannot be read, which is for nobody; told once. */
export function rulesFor(
  rules: readonly StoredRule[],
  device: RuleDevice,
  onBroken?: (rule: StoredRule, error: unknown) => void,
): TwinRule[] {
  const found: TwinRule[] = []
  for (const rule of rules) {
    const compiled = compiledOf(rule)
    if ('broken' in compiled && !compiled.isTold) {
      compiled.isTold = true
      onBroken?.(rule, compiled.broken)
    }
    const ready = 'broken' in compiled ? undefined : readyFor(compiled, device)
    if (ready) found.push(ready)
  }
  return found.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, RULE_LIMITS.live)
}

/** Undefined: it is not for this device. */
export function readyRule(rule: StoredRule, device: RuleDevice): TwinRule | undefined {
  const compiled = compiledOf(rule)
  if ('broken' in compiled) throw compiled.broken
  return readyFor(compiled, device)
}

interface Compiled {
  rule: StoredRule
  body: RuleBody
  filter: Filter | undefined
  /** when, clear where there is one, and those that worsen. */
  conditions: Condition[]
  text: TextPart[]
  /** What it reads of a device: paths. */
  reads: Path[]
  /** By what these have for values. */
  variants: Map<string, TwinRule>
}

interface Broken {
  broken: unknown
  isTold: boolean
}

const compiledRules = new WeakMap<StoredRule, Compiled | Broken>()

function compiledOf(rule: StoredRule): Compiled | Broken {
  let compiled = compiledRules.get(rule)
  if (!compiled) {
    try {
      compiled = compile(rule)
    } catch (broken) {
      compiled = { broken, isTold: false }
    }
    compiledRules.set(rule, compiled)
  }
  return compiled
}

function compile(rule: StoredRule): Compiled {
  const body = JSON.parse(rule.body) as RuleBody
  const conditions = [body.when, ...(body.clear === undefined ? [] : [body.clear]), ...body.worse.map(({ when }) => when)].map(
    parseCondition,
  )
  const text = parseText(body.text)
  const ofText = text.flatMap((part) => (typeof part !== 'string' && isOfDevice(part.path) ? [part.path] : []))
  return {
    rule,
    body,
    filter: rule.filter === null ? undefined : parseFilter(rule.filter),
    conditions,
    text,
    reads: [...conditions.flatMap((condition) => [...attributesOf(condition)]), ...ofText, ...(body.schedule ? [TIME_ZONE] : [])],
    variants: new Map(),
  }
}

function readyFor(compiled: Compiled, device: RuleDevice): TwinRule | undefined {
  const { rule, filter, reads, variants } = compiled
  if (rule.model !== null && rule.model !== device.model) return undefined
  if (filter && !matches(filter, device)) return undefined
  const key = reads.length === 0 ? '' : JSON.stringify(reads.map((path) => known(device, path) ?? null))
  if (key.length > KEY_LENGTH) return made(compiled, device)
  let ready = variants.get(key)
  if (!ready) {
    ready = made(compiled, device)
    if (variants.size >= MOST_VARIANTS) variants.clear()
    variants.set(key, ready)
  }
  return ready
}

function made({ rule, body, conditions, text }: Compiled, device: RuleDevice): TwinRule {
  const [when, ...others] = putIn(conditions, device.attributes) as [Filter, ...Filter[]]
  const clear = body.clear === undefined ? undefined : others.shift()
  const zone = valueAt(device.attributes, TIME_ZONE)
  const deviceZone = typeof zone === 'string' ? zone : undefined
  return {
    id: rule.name,
    version: rule.version,
    severity: body.severity,
    text: textOf(text, device),
    when,
    ...(clear && { clear }),
    forMs: spanMs(body.for),
    clearForMs: spanMs(body.clearFor),
    lateMs: spanMs(body.lateAfter),
    ...(body.worse.length > 0 && { worse: body.worse.map(({ severity }, i) => ({ when: others[i]!, severity })) }),
    ...(body.schedule && {
      schedule: scheduleOf(body.schedule, zoneFor(deviceZone, zoneOf(body.schedule)), rule.createdAt),
    }),
    onChange: body.onChange,
  }
}

function zoneOf({ timeZone }: NonNullable<RuleBody['schedule']>): { timeZone?: string } {
  return timeZone === undefined ? {} : { timeZone }
}

/** Words that stand beside each other are one. */
function textOf(parts: TextPart[], device: RuleDevice): TwinRule['text'] {
  const text: TwinRule['text'] = []
  for (const part of parts) {
    const next = typeof part === 'string' ? part : isOfDevice(part.path) ? wordOf(known(device, part.path)) : part.path
    const last = text.at(-1)
    if (typeof next === 'string' && typeof last === 'string') text[text.length - 1] = last + next
    else text.push(next)
  }
  return text
}

function isOfDevice([root]: Path): boolean {
  return ['attributes', 'id', 'model', 'modelVersion'].includes(root)
}

function known({ id, model, modelVersion, attributes }: RuleDevice, path: Path): Value | undefined {
  return path[0] === 'attributes' ? valueAt(attributes, path) : { id, model, modelVersion }[path[0] as 'id']
}

/** As the core writes values (rule-text.ts). */
function wordOf(value: Value | undefined): string {
  if (value === undefined || value === null) return 'unknown'
  if (typeof value === 'number') return String(Number(value.toPrecision(DIGITS)))
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH - 1)}…` : text
}
