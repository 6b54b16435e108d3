/** What one says of a prediction model, and the features that follow from it. */
import { describe, expect, test } from 'vitest'
import { featuresOf, type WindowValues, windowsOf } from '../../twin-models/prediction/features.ts'
import { type PredictionInput, pathOf, predictionModelRequest } from '../../twin-models/schemas/prediction-model.ts'

const MODEL = {
  url: 'https://models.example.com/serving/',
  model: 'pump-failure',
  inputs: [{ name: 'vibration', path: 'telemetry.vibration.value' }],
  output: { probability: 'probability' },
  horizon: '48h',
}
const parse = (more: object) => predictionModelRequest.safeParse({ ...MODEL, ...more })
const input = (more: object) => parse({ inputs: [{ ...MODEL.inputs[0], ...more }] })

describe('a prediction model', () => {
  test('has defaults for what need not be said, and parses to the same again', () => {
    const parsed = predictionModelRequest.parse(MODEL)
    expect(parsed).toEqual({
      ...MODEL,
      url: 'https://models.example.com/serving',
      inputs: [{ ...MODEL.inputs[0], take: 'last' }],
      ...{ datatype: 'FP64', threshold: 0.5, timeout: '5s', atOnce: 4, description: '' },
    })
    expect(predictionModelRequest.parse(parsed)).toEqual(parsed)
  })

  test.each<[string, object, string]>([
    ['no URL', { url: 'models' }, 'url'],
    ['a URL of another kind', { url: 'ftp://models.example.com' }, 'url'],
    ['a password in the URL', { url: 'https://x:b@models.example.com' }, 'url'],
    ['a query', { url: 'https://models.example.com/?a=b' }, 'url'],
    ['a model that leads elsewhere', { model: '..' }, 'model'],
    ['a model with a slash', { model: 'a/b' }, 'model'],
    ['a version with a slash', { version: '1/2' }, 'version'],
    ['no inputs', { inputs: [] }, 'inputs'],
    ['too many inputs', { inputs: Array.from({ length: 65 }, (_, i) => ({ name: `i${i}`, path: 'health.battery' })) }, 'inputs'],
    ['an input twice', { inputs: [MODEL.inputs[0], MODEL.inputs[0]] }, 'inputs.1.name'],
    ['another type of numbers', { datatype: 'INT64' }, 'datatype'],
    ['no output', { output: {} }, 'output.probability'],
    ['a negative index', { output: { probability: 'p', index: -1 } }, 'output.index'],
    ['no horizon', { horizon: undefined }, 'horizon'],
    ['a horizon of years', { horizon: '367d' }, 'horizon'],
    ['a threshold over 1', { threshold: 1.1 }, 'threshold'],
    ['a timeout of minutes', { timeout: '2m' }, 'timeout'],
    ['too many at once', { atOnce: 51 }, 'atOnce'],
    ['a schedule by the second', { schedule: { every: '1s', filter: "model = 'pump'" } }, 'schedule.every'],
    ['a schedule without a filter', { schedule: { every: '1h' } }, 'schedule.filter'],
    ['a filter that breaks', { schedule: { every: '1h', filter: 'model =' } }, 'schedule.filter'],
    ['a token with blanks', { auth: { bearer: 'a b' } }, 'auth.bearer'],
    ['what is not known', { colour: 'red' }, ''],
  ])('is refused with %s', (_, more, path) => {
    const { error } = parse(more)
    expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual([path])
  })

  test.each<[string, object, string]>([
    ['a name that is a number', { name: '0' }, 'name'],
    ['a name that means something else', { name: 'constructor' }, 'name'],
    ['a path to nothing', { path: 'colour' }, 'path'],
    ['two paths', { path: 'health.battery and exists health.rssi' }, 'path'],
    ['a comparison', { path: 'health.battery > 3' }, 'path'],
    ['a mean without a time', { take: 'mean' }, 'over'],
    ['a time over what is no reading', { path: 'health.battery', over: '1h' }, 'over'],
    ['a time over a part of a reading', { path: 'telemetry.location.value.lat', over: '1h' }, 'over'],
    ['a time of weeks', { over: '8d', take: 'mean' }, 'over'],
    ['another way to take it', { over: '1h', take: 'median' }, 'take'],
  ])('is refused with an input of %s', (_, more, path) => {
    const { error } = input(more)
    expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual([`inputs.0.${path}`])
  })

  test('says where a path is wrong', () => {
    expect(pathOf('colour.red')).toEqual({ problem: expect.stringMatching(/^is no path: the twin document has no part 'colour'/) })
    expect(pathOf('')).toEqual({ problem: expect.stringContaining('expected a path, found the end') })
    expect(pathOf('telemetry."odd name".value')).toEqual({ path: ['telemetry', 'odd name', 'value'] })
  })
})

describe('features', () => {
  const DOCUMENT = {
    telemetry: { vibration: { value: 3.5 }, running: { value: true }, text: { value: 'x' }, location: { value: { lat: 52.1 } } },
    attributes: { age: 7 },
    health: { battery: null },
  }
  const HOUR: WindowValues = { name: 'vibration', ms: 3_600_000, count: 4, mean: 2.5, min: 1, max: 4, stddev: 0.5, first: 1.5, last: 3.5 }
  const EMPTY: WindowValues = {
    name: 'flow',
    ms: 3_600_000,
    count: 0,
    mean: null,
    min: null,
    max: null,
    stddev: null,
    first: null,
    last: null,
  }
  const features = (...inputs: Array<Partial<PredictionInput>>) => {
    const named = inputs.map((input, i) => ({ name: `i${i}`, path: 'telemetry.vibration.value', take: 'last' as const, ...input }))
    return featuresOf(named, DOCUMENT, [HOUR, EMPTY])
  }

  test('are numbers and booleans of the document, in the order of the inputs', () => {
    const found = features(
      { name: 'b' },
      { name: 'a', path: 'telemetry.running.value' },
      { path: 'telemetry.location.value.lat' },
      { path: 'attributes.age' },
    )
    expect(found).toEqual({ features: { b: 3.5, a: 1, i2: 52.1, i3: 7 } })
    expect('features' in found && Object.keys(found.features)).toEqual(['b', 'a', 'i2', 'i3'])
  })

  test.each([
    ['last', 3.5],
    ['mean', 2.5],
    ['min', 1],
    ['max', 4],
    ['stddev', 0.5],
    ['count', 4],
    ['change', 2],
  ] as const)('are %s of the readings of a time: %d', (take, value) => {
    expect(features({ over: '1h', take })).toEqual({ features: { i0: value } })
  })

  test.each<[string, Partial<PredictionInput>, RegExp]>([
    [
      'a reading that was never told',
      { path: 'telemetry.flow.value' },
      /^The input i0 \(telemetry\.flow\.value\) has no value: the device has told none/,
    ],
    ['a text', { path: 'telemetry.text.value' }, /has told none/],
    ['an object', { path: 'telemetry.location.value' }, /has told none/],
    ['null', { path: 'health.battery' }, /there is no number or boolean/],
    ['what is above a reading', { path: 'telemetry.vibration' }, /there is no number or boolean/],
    ['what objects have by themselves', { path: 'attributes.toString.length' }, /there is no number or boolean/],
    [
      'a mean of nothing',
      { path: 'telemetry.flow.value', over: '1h', take: 'mean' },
      /over 1h\) has no value: the device has told none in that time/,
    ],
    ['a change of nothing', { path: 'telemetry.flow.value', over: '1h', take: 'change' }, /in that time/],
  ])('are not made of %s, and are the default where there is one', (_, input, words) => {
    expect(features(input)).toEqual({ problem: expect.stringMatching(words) })
    expect(features({ ...input, default: -1 })).toEqual({ features: { i0: -1 } })
  })

  test('count no readings as 0', () => {
    expect(features({ path: 'telemetry.flow.value', over: '1h', take: 'count' })).toEqual({ features: { i0: 0 } })
  })

  test('are never beyond what JSON can say', () => {
    const wide = { ...HOUR, first: -1e308, last: 1e308 }
    const inputs = [{ name: 'x', path: 'telemetry.vibration.value', over: '1h', take: 'change' as const }]
    expect(featuresOf(inputs, DOCUMENT, [wide])).toEqual({ problem: expect.stringContaining('beyond what a double can hold') })
  })

  test('need each window once', () => {
    const inputs = [{ take: 'mean' }, { take: 'max' }, { take: 'mean', over: '2h' }, { over: undefined, take: 'last' }].map((input, i) => ({
      ...{ name: `i${i}`, path: 'telemetry.vibration.value', over: '1h' },
      ...input,
    })) as PredictionInput[]
    expect(windowsOf(inputs)).toEqual([
      { name: 'vibration', ms: 3_600_000 },
      { name: 'vibration', ms: 7_200_000 },
    ])
  })
})
