/** The features of one device: what of its document and of its stored readings a model is asked with. */
import type { Path } from '../filter/parse.ts'
import { isReading, msOf, type PredictionInput, pathOf } from '../schemas/prediction-model.ts'
import type { Features } from './types.ts'

/** Readings of one property in the time before now. */
export interface Window {
  name: string
  ms: number
}

/** What is known of a window. All but the count are null where it has no value. */
export interface WindowValues extends Window {
  count: number
  mean: number | null
  min: number | null
  max: number | null
  /** Of all values, not of a sample: 0 with one alone. */
  stddev: number | null
  first: number | null
  last: number | null
}

/** Each once, however many inputs are of it. */
export function windowsOf(inputs: readonly PredictionInput[]): Window[] {
  const windows = new Map<string, Window>()
  for (const input of inputs) {
    const window = windowOf(input)
    if (window) windows.set(`${window.ms} ${window.name}`, window)
  }
  return [...windows.values()]
}

/** Or why there are none: an input without a value, which has no default. */
export function featuresOf(
  inputs: readonly PredictionInput[],
  document: object,
  windows: readonly WindowValues[],
): { features: Features } | { problem: string } {
  const features: Features = {}
  for (const input of inputs) {
    const window = windowOf(input)
    const values = window && windows.find(({ name, ms }) => name === window.name && ms === window.ms)
    const value = (window ? values && taken(input, values) : numberAt(document, path(input))) ?? input.default
    if (value === undefined) return { problem: problemOf(input) }
    if (!Number.isFinite(value)) return { problem: `The input ${input.name} (${input.path}) is beyond what a double can hold.` }
    features[input.name] = value
  }
  return { features }
}

function windowOf(input: PredictionInput): Window | undefined {
  if (input.over === undefined) return undefined
  const [, name] = path(input)
  return { name: name!, ms: msOf(input.over) }
}

function path(input: PredictionInput): Path {
  const parsed = pathOf(input.path)
  if ('problem' in parsed) throw new Error(`The path of ${input.name} ${parsed.problem}`)
  return parsed.path
}

function taken({ take }: PredictionInput, values: WindowValues): number | undefined {
  const { first, last } = values
  if (take === 'change') return first === null || last === null ? undefined : last - first
  return values[take] ?? undefined
}

function numberAt(document: object, path: Path): number | undefined {
  let value: unknown = document
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string, unknown>)[segment]
  }
  if (typeof value === 'boolean') return Number(value)
  return typeof value === 'number' ? value : undefined
}

function problemOf(input: PredictionInput): string {
  const { name, over } = input
  const where = `The input ${name} (${input.path}${over === undefined ? '' : ` over ${over}`}) has no value`
  return `${where}: ${isReading(path(input)) ? 'the device has told none' : 'there is no number or boolean'}${over === undefined ? '' : ' in that time'}. Give it a default if it may be missing.`
}
