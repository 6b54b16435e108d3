/** What an alarm says: the words of its rule, with values as the twin knows them. */
import { own } from './plain.ts'
import type { TwinRule } from './rule-types.ts'
import type { TwinState } from './types.ts'

const LONGEST = 500
const DIGITS = 6

export function rendered(state: TwinState, { text }: TwinRule): string {
  const all = text.map((part) => (typeof part === 'string' ? part : wordOf(valueAt(state, part)))).join('')
  return all.length > LONGEST ? `${all.slice(0, LONGEST - 1)}…` : all
}

function valueAt(state: TwinState, [part, ...rest]: readonly string[]): unknown {
  if (part === 'telemetry') return own(state.values, rest[0] ?? '')?.[0]
  let value: unknown = state[part as 'presence' | 'ranges' | 'reported' | 'desired' | 'firmware' | 'health']
  for (const key of rest) {
    if (typeof value !== 'object' || value === null) return undefined
    value = own(value as { [key: string]: unknown }, key)
  }
  return value
}

function wordOf(value: unknown): string {
  if (value === undefined || value === null) return 'unknown'
  if (typeof value === 'number') return String(Number(value.toPrecision(DIGITS)))
  return typeof value === 'string' ? value : JSON.stringify(value)
}
