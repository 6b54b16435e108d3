/** Rules made ready for a device: for whom one is, attributes put in as values, and the clocks of zones as tables. */
import fc from 'fast-check'
import { IANAZone } from 'luxon'
import { describe, expect, test } from 'vitest'
import { isWithin } from '../../twin-models/core/schedule.ts'
import { RULE_LIMITS } from '../../twin-models/rules/language.ts'
import { type RuleDevice, readyRule, rulesFor, type StoredRule } from '../../twin-models/rules/ready.ts'
import { tableOf } from '../../twin-models/rules/zone-table.ts'
import { ruleRequest } from '../../twin-models/schemas/rule.ts'

const CREATED = Date.parse('2026-11-21T06:00:00Z')
const DAY_MS = 86_400_000
const DEVICE: RuleDevice = {
  id: 'p-1',
  model: 'pump',
  modelVersion: '1.0.0',
  attributes: { site: 'north', limit: 8, timeZone: 'Europe/Berlin' },
}

function stored(given: object, over: Partial<StoredRule> = {}): StoredRule {
  const body = ruleRequest.parse({ model: 'pump', when: 'telemetry.vibration.value > 8', severity: 'major', text: 'Trouble', ...given })
  const { model = null, filter = null } = body
  return { name: 'r', version: 3, model, filter, body: JSON.stringify(body), createdAt: CREATED, ...over }
}

const compared = (comparison: string, value: number) => ({ kind: 'compare', path: ['telemetry', 'vibration', 'value'], comparison, value })

test('a rule with all that it may have is carried as the core wants it', () => {
  const rule = stored({
    when: 'telemetry.vibration.value > attributes.limit',
    clear: 'telemetry.vibration.value < 6',
    for: '5m',
    clearFor: '1m',
    lateAfter: '2m',
    schedule: { days: ['sun', 'mon'], from: '08:00', to: '18:30', timeZone: 'America/New_York' },
    worse: [{ when: 'telemetry.vibration.value > 12', severity: 'critical' }],
    text: 'At {attributes.site}: {telemetry.vibration.value} mm/s, more than {attributes.limit} on {id}',
    onChange: 'clear',
  })
  expect(readyRule(rule, DEVICE)).toEqual({
    id: 'r',
    version: 3,
    severity: 'major',
    text: ['At north: ', ['telemetry', 'vibration', 'value'], ' mm/s, more than 8 on p-1'],
    when: compared('>', 8),
    clear: compared('<', 6),
    forMs: 300_000,
    clearForMs: 60_000,
    lateMs: 120_000,
    worse: [{ when: compared('>', 12), severity: 'critical' }],
    schedule: { from: 480, to: 1110, days: [0, 6], zone: tableOf('Europe/Berlin', CREATED) },
    onChange: 'clear',
  })
})

test('a rule with nothing but what it needs has the defaults', () => {
  expect(readyRule(stored({}), DEVICE)).toEqual({
    id: 'r',
    version: 3,
    severity: 'major',
    text: ['Trouble'],
    when: compared('>', 8),
    forMs: 0,
    clearForMs: 0,
    lateMs: 300_000,
    onChange: 'keep',
  })
})

describe('a rule is for a device', () => {
  test.each<[what: string, rule: object, isFor: boolean]>([
    ['of its model', { model: 'pump' }, true],
    ['not of another model', { model: 'lock' }, false],
    ['that its filter finds', { model: undefined, filter: "attributes.site = 'north'" }, true],
    ['not that its filter does not find', { model: undefined, filter: "attributes.site = 'south'" }, false],
    ['that both are true of', { filter: "attributes.site = 'north' and id like 'p-%' and modelVersion = '1.0.0'" }, true],
    ['not that one is true of alone', { filter: "model = 'lock'" }, false],
  ])('%s', (_what, rule, isFor) => {
    expect(readyRule(stored(rule), DEVICE) !== undefined).toBe(isFor)
  })

  test('with others by name, and at most a hundred of them', () => {
    const rules = Array.from({ length: 120 }, (_, n) => stored({}, { name: `r-${119 - n}` }))
    const found = rulesFor([...rules, stored({ model: 'lock' }, { name: 'a' })], DEVICE).map(({ id }) => id)
    expect(found).toEqual(
      rules
        .map(({ name }) => name)
        .sort()
        .slice(0, RULE_LIMITS.live),
    )
  })

  test('of nobody where it cannot be read, which is told, and holds up no other', () => {
    const broken = stored({}, { body: '{"when":"telemetry.x.value >","worse":[]}' })
    const told: unknown[] = []
    const rules = [broken, stored({}, { name: 's' })]
    const found = ['p-1', 'p-2'].map((id) => rulesFor(rules, { ...DEVICE, id }, (rule, error) => told.push([rule, String(error)])))
    expect(found.map((of) => of.map(({ id }) => id))).toEqual([['s'], ['s']])
    expect(told).toEqual([[broken, expect.stringContaining('character 20')]])
    expect(() => readyRule(broken, DEVICE)).toThrow('character 20')
  })
})

describe('attributes', () => {
  test.each<[what: string, attributes: object, text: string]>([
    ['numbers are rounded as the core rounds them', { a: 1 / 3 }, '0.333333'],
    ['what is absent is unknown', {}, 'unknown'],
    ['objects are JSON', { a: { b: 1 } }, '{"b":1}'],
    ['what is long is cut', { a: 'x'.repeat(200) }, `${'x'.repeat(99)}…`],
  ])('in a text: %s', (_what, attributes, text) => {
    const ready = readyRule(stored({ text: '{attributes.a}' }), { ...DEVICE, attributes: attributes as RuleDevice['attributes'] })
    expect(ready!.text).toEqual([text])
  })

  test('make the same rule of the same values, and devices that do not differ in what it reads share it', () => {
    const rule = stored({ when: 'telemetry.vibration.value > attributes.limit', text: 'At {attributes.site}' })
    const one = readyRule(rule, DEVICE)
    expect(readyRule(rule, { ...DEVICE, id: 'p-2', attributes: { ...DEVICE.attributes, other: 1 } })).toBe(one)
    expect(readyRule({ ...rule }, DEVICE)).toEqual(one)
    const other = readyRule(rule, { ...DEVICE, attributes: { ...DEVICE.attributes, limit: 9 } })
    expect([other!.when, other!.text]).toEqual([compared('>', 9), ['At north']])
    const long = { ...DEVICE, attributes: { limit: 8, site: 'x'.repeat(5_000) } }
    expect(readyRule(rule, long)).toEqual({ ...one, text: [`At ${'x'.repeat(99)}…`] })
  })
})

describe('the zone of a schedule', () => {
  const hours = { from: '08:00', to: '18:00' }
  test.each<[what: string, attributes: object, timeZone: string | undefined, zone: string]>([
    ['is that of the device', { timeZone: 'Asia/Tokyo' }, 'Europe/Berlin', 'Asia/Tokyo'],
    ['else that of the rule', {}, 'Europe/Berlin', 'Europe/Berlin'],
    ['else that of the rule, where the device has none that is known', { timeZone: 'Mars/Base' }, 'Europe/Berlin', 'Europe/Berlin'],
    ['else that of the rule, where the device has something else', { timeZone: 3 }, 'Europe/Berlin', 'Europe/Berlin'],
    ['else UTC', {}, undefined, 'UTC'],
  ])('%s', (_what, attributes, timeZone, zone) => {
    const device = { ...DEVICE, attributes: attributes as RuleDevice['attributes'] }
    const schedule = { ...hours, ...(timeZone !== undefined && { timeZone }) }
    expect(readyRule(stored({ schedule }), device)!.schedule).toEqual({
      from: 480,
      to: 1080,
      days: [0, 1, 2, 3, 4, 5, 6],
      zone: tableOf(zone, CREATED),
    })
  })

  const at = (text: string) => Date.parse(text)
  test('has the changes of its clocks, summer and winter', () => {
    const [first, ...changes] = tableOf('Europe/Berlin', CREATED)
    expect([first, changes.slice(0, 2), changes.length]).toEqual([
      60,
      [
        [at('2027-03-28T01:00Z'), 120],
        [at('2027-10-31T01:00Z'), 60],
      ],
      20,
    ])
    expect(tableOf('UTC', CREATED)).toEqual([0])
    expect(tableOf('Asia/Kolkata', CREATED)).toEqual([330])
  })

  test('moves the working hours with them', () => {
    const { schedule } = readyRule(stored({ schedule: { ...hours, timeZone: 'Europe/Berlin' } }), { ...DEVICE, attributes: {} })!
    const open = (text: string) => isWithin(schedule!, at(text))
    expect(['2027-03-27T06:59Z', '2027-03-27T07:00Z', '2027-03-27T16:59Z', '2027-03-27T17:00Z'].map(open)).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect(['2027-03-28T05:59Z', '2027-03-28T06:00Z', '2027-03-28T15:59Z', '2027-03-28T16:00Z'].map(open)).toEqual([
      false,
      true,
      true,
      false,
    ])
  })

  test('is as its clocks are at any time of ten years, wherever that is', () => {
    const zones = [
      'Europe/Berlin',
      'America/New_York',
      'Australia/Lord_Howe',
      'Africa/Casablanca',
      'America/Santiago',
      'Asia/Kathmandu',
      'Pacific/Chatham',
    ]
    let changed = 0
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: at('2026-01-01T00:00Z'), max: at('2030-01-01T00:00Z') }),
        fc.integer({ min: 0, max: 3_650 * DAY_MS }),
        (zone, since, after) => {
          const [first, ...changes] = tableOf(zone, since)
          changed += changes.length > 0 ? 1 : 0
          const offset = changes.findLast(([from]) => from <= since + after)?.[1] ?? first
          expect(offset).toBe(IANAZone.create(zone).offset(since + after))
        },
      ),
      { numRuns: 5_000 },
    )
    expect(changed).toBeGreaterThan(2_000)
  })
})
