import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { compileModel } from '../../twin-models/devices/compile.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { formatDuration, parseDuration } from '../../twin-models/durations.ts'
import type { ModelAction } from '../../twin-models/model.ts'
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
    expect(listModels().map(({ name }) => name)).toEqual(['lock', 'meter', 'pump', 'thermostat'])
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
        wishes: { targetTemperature: { wins: 'newest', deadlineMs: 86_400_000 } },
        retryMs: 30_000,
      },
      unknownProperties: 'keep',
      backfillLimitMs: 604_800_000,
    })
    expect(modelOf('thermostat')?.properties.get('targetTemperature')).toMatchObject({ writable: true, unit: 'Cel', type: 'number' })
    expect(modelOf('thermostat')?.properties.get('temperature')).toMatchObject({ writable: false })
  })
})

describe('the actions of the shipped models', () => {
  const diagnosis = { health: { ok: true, battery: 81 }, firmware: { version: '1.4.2' }, uptimeSeconds: 3_600, errors: [] }

  test.each(listModels().map((model) => [model.name, model] as const))('%s can be asked to diagnose itself', (_, { actions }) => {
    const diagnose = actions.get('diagnose')!
    expect(diagnose.repeatable).toBe(true)
    expect(diagnose.inputProblem(undefined)).toBeUndefined()
    expect(diagnose.outputProblem(diagnosis)).toBeUndefined()
    expect(diagnose.outputProblem({ health: { ok: true } })).toBe("must have required property 'firmware'")
    expect(diagnose.outputProblem({ ...diagnosis, uptimeSeconds: -1 })).toBe('/uptimeSeconds must be >= 0')
    expect(diagnose.outputProblem(undefined)).toBe('is missing')
  })

  test('a lock is unlocked at most once for one command, and does one thing at a time', () => {
    const { lock, unlock } = Object.fromEntries(modelOf('lock')!.actions)
    expect(unlock).toMatchObject({ repeatable: false, concurrency: 1, onlyLast: false, timeoutMs: 60_000 })
    expect(lock).toMatchObject({ repeatable: true, concurrency: 1, retryMs: 5_000, attempts: 10 })
  })

  test('a sleeper is not missed before it could have checked in, and a command waits for that', () => {
    const meter = modelOf('meter')!
    expect(meter.settings.presenceTimeoutMs).toBe(70 * 60_000)
    for (const { timeoutMs } of meter.actions.values()) expect(timeoutMs).toBeGreaterThan(meter.settings.presenceTimeoutMs)
  })
})

describe('an action', () => {
  const model = compileModel('sample', {
    ...base(),
    properties: {
      plain: { type: 'number' },
      late: { type: 'number', 'castor:deadline': '2h' },
      knob: { type: 'number', 'castor:wins': 'device' },
    },
    actions: {
      plain: {},
      anything: { input: {}, output: {} },
      move: {
        input: { type: 'object', properties: { to: { type: 'number', maximum: 90 } }, required: ['to'] },
        output: { type: 'number', minimum: 0 },
        idempotent: true,
        'castor:timeout': '2d',
        'castor:retry': '1m',
        'castor:attempts': 3,
        'castor:concurrency': 2,
        'castor:onlyLast': true,
      },
    },
    'castor:retry': '5s',
    'castor:checkIn': '15m',
  })
  const [plain, anything, move] = [...model.actions.values()] as [ModelAction, ModelAction, ModelAction]

  test('that says nothing of itself takes no input, may answer anything, and is sent at most once', () => {
    expect(plain).toMatchObject({ repeatable: false, onlyLast: false, timeoutMs: 300_000, retryMs: 10_000, attempts: 10 })
    expect(plain).not.toHaveProperty('concurrency')
    expect(plain.inputProblem(undefined)).toBeUndefined()
    expect(plain.inputProblem(null)).toBeUndefined()
    expect(plain.inputProblem({})).toBe('must be left out, is an object: the action takes no input')
    expect(plain.outputProblem(undefined)).toBeUndefined()
    expect(plain.outputProblem({ any: ['thing'] })).toBeUndefined()
    expect(anything.inputProblem(undefined)).toBeUndefined()
    expect(anything.inputProblem([1])).toBeUndefined()
  })

  test('that says all is held to it', () => {
    expect(move).toMatchObject({ repeatable: true, concurrency: 2, onlyLast: true, timeoutMs: 172_800_000, retryMs: 60_000, attempts: 3 })
    expect(move.inputProblem({ to: 45 })).toBeUndefined()
    expect(move.inputProblem({ to: 91 })).toBe('/to must be <= 90')
    expect(move.inputProblem(undefined)).toBe('is missing')
    expect(move.outputProblem(3)).toBeUndefined()
    expect(move.outputProblem('3')).toBe('must be a number, is a string')
  })

  test('and the wishes of its model are pursued as it says', () => {
    expect(model.settings).toMatchObject({ retryMs: 5_000, presenceTimeoutMs: 16 * 60_000 })
    expect(model.settings.wishes).toEqual({ late: { wins: 'desired', deadlineMs: 7_200_000 }, knob: { wins: 'device' } })
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
      measured: { type: 'number', readOnly: true, 'castor:wins': 'desired' },
    },
    events: { leak: { data: { type: 'litres' } } },
    actions: {
      id: {},
      move: { 'castor:timeout': '400d', 'castor:attempts': 0, 'castor:concurrency': 1.5, input: { type: 'litres' } },
    },
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
    '/properties/measured: castor:wins and castor:deadline need a property that is not readOnly',
    '/events/leak/data/type:',
    '/actions/id:',
    '/actions/move/castor:timeout: expected a duration like 60s, 5m, 24h or 7d, from 1s to 366d',
    '/actions/move/castor:attempts:',
    '/actions/move/castor:concurrency:',
    '/actions/move/input/type:',
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
