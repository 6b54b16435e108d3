import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { compileModel } from '../../twin-models/devices/compile.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { formatDuration, parseDuration } from '../../twin-models/durations.ts'
import thingModelSchema from './fixtures/thing-model-1.1.schema.json' with { type: 'json' }

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each(['', '60', 's', '-5s', '0s', '1.5h', '5 m', '1w', '9999999999s', '1e3s'])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeUndefined()
  })

  test('a duration is written in the largest unit that says it exactly', () => {
    expect([500, 60_000, 90_000, 86_400_000, 604_800_000].map(formatDuration)).toEqual(['500ms', '1m', '90s', '1d', '7d'])
  })
})

describe('shipped models', () => {
  test('are found by name, with the version or without', () => {
    expect(listModels().map(({ name }) => name)).toEqual(['pump', 'thermostat'])
    expect(modelOf('thermostat')).toBe(modelOf('thermostat', '1.0.0'))
    expect(modelOf('thermostat', '9.9.9')).toBeUndefined()
    expect(modelOf('constructor')).toBeUndefined()
  })

  test.each(listModels().map((model) => [model.name, model] as const))(
    '%s is a valid Thing Model by the schema of the W3C',
    (_, { thingModel }) => {
      const validate = new Ajv({ strict: false, validateFormats: false }).compile(thingModelSchema)
      validate(thingModel)
      expect(validate.errors).toBeNull()
    },
  )

  test('the thermostat says what its twins carry', () => {
    expect(modelOf('thermostat')).toMatchObject({
      settings: {
        model: 'thermostat',
        modelVersion: '1.0.0',
        presenceTimeoutMs: 60_000,
        ranges: { temperature: { minimum: 5, maximum: 35, hysteresis: 1 } },
      },
      unknownProperties: 'keep',
      backfillLimitMs: 604_800_000,
    })
    expect(modelOf('thermostat')?.properties.get('targetTemperature')).toMatchObject({ writable: true, unit: 'Cel', type: 'number' })
    expect(modelOf('thermostat')?.properties.get('temperature')).toMatchObject({ writable: false })
  })
})

describe('a value', () => {
  const model = compileModel('sample', {
    ...base(),
    properties: {
      number: { type: 'number' },
      bounded: { type: 'number', minimum: 5, maximum: 35 },
      integer: { type: 'integer' },
      mode: { type: 'string', enum: ['on', 'off'] },
      position: { type: 'object', properties: { lat: { type: 'number' } }, required: ['lat'] },
      list: { type: 'array', items: { type: 'integer' }, maxItems: 2 },
    },
  })
  const problem = (name: string, value: never) => model.properties.get(name)?.problemOf(value)

  test.each([
    ['number', 1.5],
    ['bounded', 5],
    ['integer', 7],
    ['mode', 'on'],
    ['position', { lat: 1 }],
    ['list', [1, 2]],
  ])('%s that fits has no problem', (name, value) => {
    expect(problem(name, value as never)).toBeUndefined()
  })

  test.each([
    ['number', '1', 'must be a number, is a string'],
    ['number', null, 'must be a number, is null'],
    ['number', [1], 'must be a number, is an array'],
    ['bounded', 36, 'must be <= 35'],
    ['bounded', true, 'must be a number, is a boolean'],
    ['integer', 1.5, 'must be an integer, is a fraction'],
    ['mode', 'auto', 'must be equal to one of the allowed values'],
    ['position', {}, "must have required property 'lat'"],
    ['position', Object.create({ lat: 1 }), "must have required property 'lat'"],
    ['position', 3, 'must be object'],
    ['list', [1, 'x'], '/1 must be integer'],
  ])('%s of %j is told apart in words', (name, value, words) => {
    expect(problem(name, value as never)).toBe(words)
  })
})

test('a Thing Model that is not valid is refused with everything that is wrong with it', () => {
  const wrong = {
    ...base(),
    '@type': 'Thing',
    'castor:presenceTimeout': '1 minute',
    'castor:backfillLimit': '8d',
    'castor:unknownProperties': 'drop',
    properties: {
      ts: { type: 'number' },
      text: { type: 'string', 'castor:normalRange': { maximum: 1 } },
      range: { type: 'number', 'castor:normalRange': { minimum: 2, maximum: 1 } },
      untyped: {},
    },
    events: { leak: { data: { type: 'litres' } } },
  }
  let message = ''
  try {
    compileModel('wrong', wrong)
  } catch (error) {
    message = (error as Error).message
  }
  for (const part of [
    'The Thing Model wrong',
    '/@type: must be tm:ThingModel',
    '/castor:presenceTimeout: expected a duration like 60s',
    '/castor:backfillLimit: expected a duration',
    '/castor:unknownProperties:',
    '/properties/ts:',
    '/properties/text: castor:normalRange needs a property of type number',
    '/properties/range/castor:normalRange: the minimum must be less',
    '/properties/untyped/type:',
  ]) {
    expect(message).toContain(part)
  }
})

function base() {
  return {
    '@context': ['https://www.w3.org/2022/wot/td/v1.1', { castor: 'urn:castor:terms:' }],
    '@type': 'tm:ThingModel',
    title: 'Sample',
    version: { model: '1.0.0' },
  }
}
