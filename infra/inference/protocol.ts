/**
 * Requests and answers of the Open Inference Protocol v2 over HTTP (https://github.com/kserve/open-inference-protocol), as KServe, Triton and
 * MLflow speak it. Everything that a server says is looked at before it is believed.
 */
import { z } from 'zod'
import type { Features, Predicted } from '../../twin-models/prediction/types.ts'
import { msOf, type PredictionSettings } from '../../twin-models/schemas/prediction-model.ts'

export interface InferRequest {
  id: string
  inputs: Array<{ name: string; shape: number[]; datatype: string; data: number[] }>
  outputs: Array<{ name: string }>
}

/** What is asked. */
export function inferRequest(settings: PredictionSettings, features: Features, id: string): InferRequest {
  const { tensor, datatype, output } = settings
  const names = Object.keys(features)
  const inputs =
    tensor === undefined
      ? names.map((name) => ({ name, shape: [1, 1], datatype, data: [features[name]!] }))
      : [{ name: tensor, shape: [1, names.length], datatype, data: Object.values(features) }]
  const outputs = [output.probability, output.explanation].filter((name) => name !== undefined)
  return { id, inputs, outputs: [...new Set(outputs)].map((name) => ({ name })) }
}

/** Of the model; the server chooses a version where none is named. */
export function modelUrl({ url, model, version }: PredictionSettings): string {
  return `${url}/v2/models/${encodeURIComponent(model)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}`
}

/** What the answer says, or what is wrong with it. */
export function readInference(text: string, settings: PredictionSettings, asked: InferRequest): Predicted | { problem: string } {
  const parsed = parsedAs(inferAnswer, text)
  if ('problem' in parsed) return parsed
  const { id, model_version, outputs } = parsed.value
  if (id !== undefined && id !== null && id !== '' && id !== asked.id)
    return { problem: 'The answer is of another request: its id is not the one that was sent' }
  const probability = probabilityIn(outputs, settings.output)
  if (typeof probability !== 'number') return probability
  return {
    probability,
    horizonMs: msOf(settings.horizon),
    explanation: explanationIn(
      outputs,
      settings.output.explanation,
      settings.inputs.map(({ name }) => name),
    ),
    modelVersion: model_version ? clean(model_version, 128) : (settings.version ?? null),
  }
}

export interface ModelMetadata {
  name: string
  versions?: string[]
  platform: string
  inputs: TensorMetadata[]
  outputs: TensorMetadata[]
}

interface TensorMetadata {
  name: string
  datatype: string
  shape: number[]
}

export function readMetadata(text: string): { value: ModelMetadata } | { problem: string } {
  return parsedAs(metadataAnswer, text) as { value: ModelMetadata } | { problem: string }
}

/** What a server says of an error: {"error": "…"}. Undefined: nothing that can be read. */
export function errorIn(text: string): string | undefined {
  const parsed = parsedAs(errorAnswer, text)
  return 'problem' in parsed ? undefined : clean(parsed.value.error, MOST_OF_AN_ERROR)
}

const MOST_OF_AN_ERROR = 300
const MOST_OF_AN_EXPLANATION = 2_000
const MOST_NAMES = 8
/** Numbers of 32 bits are not exact: a probability of 1 may come as a little more. */
const ROUNDING = 1e-6

const outputSchema = z.object({
  name: z.string(),
  shape: z.array(z.int().min(0)).max(32).optional(),
  datatype: z.string(),
  data: z.array(z.unknown()),
})
const inferAnswer = z.object({
  id: z.string().nullish(),
  model_version: z.string().nullish(),
  outputs: z.array(outputSchema).max(1_000),
})
const tensorSchema = z.object({ name: z.string().max(1_000), datatype: z.string().max(100), shape: z.array(z.number()).max(32) })
const metadataAnswer = z.object({
  name: z.string().max(1_000),
  versions: z.array(z.string().max(1_000)).max(1_000).nullish(),
  platform: z.string().max(1_000).default(''),
  inputs: z.array(tensorSchema).max(1_000).default([]),
  outputs: z.array(tensorSchema).max(1_000).default([]),
})
const errorAnswer = z.object({ error: z.string() })

type Output = z.infer<typeof outputSchema>

function parsedAs<T>(schema: z.ZodType<T>, text: string): { value: T } | { problem: string } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // Python writes NaN and Infinity, which no JSON has.
    return { problem: /\b(NaN|Infinity)\b/.test(text) ? 'The answer is not JSON: it holds NaN or Infinity' : 'The answer is not JSON' }
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return { value: parsed.data }
  const [issue] = parsed.error.issues
  return { problem: `The answer is not one of the Open Inference Protocol: ${issue!.path.join('.') || 'it'}: ${issue!.message}` }
}

function probabilityIn(outputs: Output[], { probability: name, index }: PredictionSettings['output']): number | { problem: string } {
  const output = outputs.find((one) => one.name === name)
  if (!output) return { problem: `The answer has no output ${name}: it has ${namesOf(outputs)}` }
  const values = flat(output)
  if (!Array.isArray(values)) return values
  if (index === undefined && values.length !== 1)
    return { problem: `The output ${name} has ${values.length} values, where one is expected: an index says which it is` }
  if (index !== undefined && index >= values.length)
    return { problem: `The output ${name} has ${values.length} values, so none of index ${index}` }
  const value = values[index ?? 0]
  if (typeof value !== 'number')
    return { problem: `The output ${name} is no number but ${value === null ? 'null (NaN, as many servers write it)' : typeof value}` }
  if (!(value >= -ROUNDING && value <= 1 + ROUNDING)) return { problem: `The output ${name} is ${value}: a probability is from 0 to 1` }
  return Math.min(Math.max(value, 0), 1)
}

/** Tensors may come flat or nested; either way the shape says how many values there are. */
function flat({ name, shape, data }: Output): unknown[] | { problem: string } {
  const values = data.flat(32) as unknown[]
  const expected = shape?.reduce((product, dimension) => product * dimension, 1)
  if (expected !== undefined && expected !== values.length)
    return { problem: `The output ${name} has ${values.length} values, but its shape [${shape!.join(', ')}] means ${expected}` }
  return values
}

/** Texts as they are; a number for each input as a list, the strongest first. What is neither explains nothing. */
function explanationIn(outputs: Output[], name: string | undefined, inputs: string[]): string | null {
  const output = outputs.find((one) => one.name === name)
  const values = output ? flat(output) : []
  if (!Array.isArray(values) || values.length === 0) return null
  if (values.every((value) => typeof value === 'string')) return clean(values.join('; '), MOST_OF_AN_EXPLANATION) || null
  if (values.length !== inputs.length || !values.every((value) => typeof value === 'number')) return null
  const weights = inputs.map((input, i) => ({ input, weight: values[i] as number })).sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  return clean(weights.map(({ input, weight }) => `${input} ${Number(weight.toPrecision(4))}`).join(', '), MOST_OF_AN_EXPLANATION)
}

function namesOf(outputs: Output[]): string {
  if (outputs.length === 0) return 'none'
  const more = outputs.length > MOST_NAMES ? ', …' : ''
  return `${outputs
    .slice(0, MOST_NAMES)
    .map(({ name }) => clean(name, 64))
    .join(', ')}${more}`
}

/** As Postgres can hold it. */
function clean(text: string, most: number): string {
  return text.slice(0, most).toWellFormed().replaceAll('\0', '\uFFFD')
}
