/** What is refused when a rule is written, with reason and place, and what is doubtful and told. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { matches } from '../../twin-models/filter/evaluate.ts'
import { checkRule } from '../../twin-models/rules/check.ts'
import { ANYTHING, domainOf } from '../../twin-models/rules/domain.ts'
import { type Condition, RULE_LIMITS } from '../../twin-models/rules/language.ts'
import { parseCondition } from '../../twin-models/rules/parse.ts'
import { putIn } from '../../twin-models/rules/put-in.ts'
import { lookAt } from '../../twin-models/rules/satisfiable.ts'
import { type RuleBody, ruleRequest } from '../../twin-models/schemas/rule.ts'

const bodyOf = (given: object): RuleBody =>
  ruleRequest.parse({ model: 'pump', when: 'telemetry.vibration.value > 8', severity: 'major', text: 'Trouble', ...given })
const check = (given: object, devices: Record<string, string | null> = {}) => {
  const deviceModels = new Map(Object.entries(devices).map(([id, model]) => [id, model === null ? null : modelOf(model)]))
  const { problems, warnings } = checkRule(bodyOf(given), { models: listModels(), deviceModels })
  const told = (found: typeof problems) => found.map(({ path, position, detail }) => [path, position, detail])
  return { problems: told(problems), warnings: told(warnings) }
}
const says = (detail: string) => expect.stringContaining(detail)

describe('a rule is taken', () => {
  test.each<[what: string, rule: object]>([
    ['with a threshold', {}],
    ['with hysteresis that leaves a gap', { clear: 'telemetry.vibration.value < 6' }],
    ['with hysteresis that leaves none', { clear: 'telemetry.vibration.value <= 8' }],
    ['that clears by another part than it is raised by', { clear: "presence.status = 'offline'" }],
    [
      'over attributes that may be anything',
      { when: 'telemetry.vibration.value > attributes.a and telemetry.vibration.value < attributes.b' },
    ],
    ['over texts that only look alike', { model: 'lock', when: "firmware.version like '1.%' and firmware.version like '%.2'" }],
    ['for devices of a filter', { model: undefined, filter: "attributes.site = 'north'", when: 'telemetry.battery.value < 10' }],
    ['for all devices', { model: undefined, filter: 'exists id', when: "presence.status = 'offline'" }],
    ['held as long as its hours last', { for: '2h', schedule: { from: '22:00', to: '00:00' } }],
    ['held for a week, on all days', { for: '7d', schedule: { from: '00:00', to: '24:00' } }],
    ['held over a weekend', { for: '2d', schedule: { days: ['sat', 'sun'], from: '00:00', to: '24:00' } }],
    ['with a distance', { model: 'thermostat', when: 'distance(telemetry.position.value, 52, 4) > 100' }],
    [
      'with each function',
      { when: "change(telemetry.flow.value, '5m') > 1 or deviation(telemetry.flow.value) > 4 or missing(telemetry.flow, '1h')" },
    ],
    ['with device events', { when: "count(events.leak, '1h') >= 2" }],
    ['with what is reported and wished', { model: 'meter', when: 'reported.state.leakThreshold > 3 and desired.state.leakThreshold < 3' }],
    ['with the whole of a range of the model', { model: 'lock', when: 'telemetry.battery.value <= 99.5' }],
    [
      'with all kinds of actions',
      {
        actions: [
          { kind: 'notify', target: 'ops' },
          { kind: 'notify', target: 'boss', after: '10m' },
          { kind: 'event', name: 'trouble', data: { a: 1 } },
          { kind: 'command', name: 'diagnose' },
          { kind: 'command', name: 'lock', device: 'door', on: 'cleared' },
          { kind: 'wish', desired: { leakThreshold: 2 }, device: 'water' },
          { kind: 'predict', model: 'pump-failure' },
          { kind: 'ticket', title: 'Look at the pump', onCall: ['ann'], predict: 'pump-failure' },
        ],
      },
    ],
  ])('%s', (_what, rule) => {
    expect(check(rule, { door: 'lock', water: 'meter' }).problems).toEqual([])
  })
})

describe('a rule is refused', () => {
  test.each<[what: string, rule: object, path: string, position: number | undefined, detail: string]>([
    [
      'for a model that is not there',
      { model: 'car' },
      '/model',
      undefined,
      'There is no model car; there are lock, meter, pump, thermostat.',
    ],
    ['for nobody, by its filter', { model: undefined, filter: "model = 'car'" }, '/filter', undefined, 'is true of no device of any model'],
    ['for nobody, by model and filter', { filter: "not model = 'pump'" }, '/filter', undefined, 'is true of no device of the model pump'],
    [
      'whose filter changes with readings',
      { filter: "id = 'p' and telemetry.flow.value > 1" },
      '/filter',
      14,
      "alone, not from 'telemetry'",
    ],
    ['that does not parse', { when: 'telemetry.vibration.value >' }, '/when', 28, 'expected a value'],
    ['whose clear does not parse', { clear: 'telemetry.vibration.value' }, '/clear', 26, 'expected a comparison'],
    ['whose worse does not parse', { worse: [{ when: 'x', severity: 'critical' }] }, '/worse/0/when', 1, "no part 'x'"],
    ['whose text does not parse', { text: 'is {x' }, '/text', 4, 'no closing }'],
    [
      'of a property that the model has not',
      { when: 'telemetry.vibratoin.value > 8' },
      '/when',
      1,
      "the model pump has no property 'vibratoin'; it has vibration, temperature",
    ],
    ['of a function of such a property', { when: "not missing(telemetry.x, '5m')" }, '/when', 5, "has no property 'x'"],
    ['with such a property in its text', { text: '{telemetry.x.value}' }, '/text', 2, "has no property 'x'"],
    ['with such a property in what is reported', { when: 'reported.state.x = 1' }, '/when', 1, "has no property 'x'"],
    ['of what is wished of a property that cannot be written', { when: 'desired.state.flow > 1' }, '/when', 1, "'flow' is not writable"],
    [
      'of a device event that the model has not',
      { when: "count(events.open, '1h') >= 2" },
      '/when',
      1,
      "the model pump has no device event 'open'; it has leak",
    ],
    [
      'of a range that the model has not',
      { when: "ranges.flow.status = 'low'" },
      '/when',
      1,
      "the model pump gives 'flow' no normal range",
    ],
    [
      'that compares a number with a text',
      { when: "telemetry.flow.value = 'high'" },
      '/when',
      24,
      'telemetry.flow.value is a number, and is compared with "high"',
    ],
    ['that compares true or false by size', { when: 'telemetry.running.value > attributes.a' }, '/when', 1, 'which have no order'],
    ['that looks for a text among numbers', { when: "telemetry.flow.value in (1, 'a')" }, '/when', 1, 'is a number, never "a"'],
    ['that looks for a pattern in a number', { when: "telemetry.flow.value like 'a%'" }, '/when', 1, 'like is for texts'],
    [
      'that counts a number as a text',
      { when: "count(telemetry.flow.value = 'a', '5m') > 1" },
      '/when',
      30,
      'is a number, and is compared with "a"',
    ],
    [
      'that takes the change of true or false',
      { when: "change(telemetry.running.value, '5m') > 1" },
      '/when',
      1,
      "change(…) takes a number, and 'running' is true or false",
    ],
    [
      'that takes the distance of a number',
      { when: 'distance(telemetry.flow.value, 1, 2) > 1' },
      '/when',
      1,
      'distance(…) takes an object',
    ],
    [
      'with a threshold between others that is never met',
      { when: 'telemetry.flow.value > 5 and telemetry.flow.value < 3' },
      '/when',
      1,
      'what is said of telemetry.flow.value here is never true: nothing would be raised',
    ],
    [
      'with a part that is never true',
      { when: "presence.status = 'online' or (telemetry.flow.value = 1 and telemetry.flow.value = 2)" },
      '/when',
      32,
      'is never true',
    ],
    [
      'with a part that is always true',
      { when: 'health.ok = true and (telemetry.flow.value > 1 or not telemetry.flow.value > 1)' },
      '/when',
      23,
      'is always true',
    ],
    [
      'with a text that its subject never is',
      { when: "presence.status = 'away'" },
      '/when',
      1,
      'this comparison of presence.status is never true',
    ],
    ['beyond what the model allows', { model: 'lock', when: 'telemetry.battery.value > 100' }, '/when', 1, 'is never true'],
    [
      'between two whole numbers',
      { model: 'lock', when: 'reported.state.autoLockSeconds > 5 and reported.state.autoLockSeconds < 5' },
      '/when',
      1,
      'is never true',
    ],
    [
      'with a count that is always reached',
      { when: "count(telemetry.flow, '5m') >= 0" },
      '/when',
      1,
      'is always true: all of its devices would have the alarm for ever',
    ],
    ['with a count that is never reached', { when: "count(telemetry.flow, '5m') = 2.5" }, '/when', 1, 'is never true'],
    ['with a count beyond what is counted', { when: "count(telemetry.flow, '5m') > 100" }, '/when', 31, 'count(…) counts up to 100'],
    ['with a distance below none', { model: 'thermostat', when: 'distance(telemetry.at.value, 1, 2) < 0' }, '/when', 1, 'is never true'],
    [
      'with a distance that nothing on earth has',
      { model: 'thermostat', when: 'distance(telemetry.at.value, 1, 2) > 20100000' },
      '/when',
      1,
      'is never true',
    ],
    [
      'that has to hold for longer than its hours last',
      { for: '11h', schedule: { from: '08:00', to: '18:00' } },
      '/for',
      undefined,
      'is longer than its hours last at a time, 10h: nothing would be raised',
    ],
    ['for longer than its night', { for: '9h', schedule: { from: '22:00', to: '06:00' } }, '/for', undefined, 'at a time, 8h'],
    [
      'for longer than the days on which it counts',
      { for: '3d', schedule: { days: ['sun', 'mon', 'wed'], from: '00:00', to: '24:00' } },
      '/for',
      undefined,
      'at a time, 2d',
    ],
    [
      'whose clear is never true',
      { clear: 'telemetry.flow.value > 1 and not exists telemetry.flow.value' },
      '/clear',
      1,
      'no alarm would clear by itself',
    ],
    [
      'whose clear is always true',
      { clear: 'telemetry.flow.value > 1 or not telemetry.flow.value > 1' },
      '/clear',
      1,
      'every alarm would be cleared at once',
    ],
    [
      'whose clear overlaps when',
      { clear: 'telemetry.vibration.value < 10' },
      '/clear',
      1,
      'both are true where telemetry.vibration.value is 9',
    ],
    [
      'whose clear lies in when',
      { clear: 'telemetry.vibration.value > 10' },
      '/clear',
      1,
      'both are true where telemetry.vibration.value is 11',
    ],
    [
      'whose clear holds where nothing is known, as when does',
      { when: 'not telemetry.flow.value > 1', clear: 'not telemetry.flow.value < 2' },
      '/clear',
      5,
      'overlaps when',
    ],
    [
      'whose clear is when',
      { when: 'telemetry.flow.value > 1 or health.ok = false', clear: 'telemetry.flow.value > 1 or health.ok = false' },
      '/clear',
      undefined,
      'is the same as when',
    ],
    [
      'that worsens to what it is',
      { worse: [{ when: 'telemetry.vibration.value > 9', severity: 'major' }] },
      '/worse/0/severity',
      undefined,
      'is not worse than major',
    ],
    [
      'that never worsens',
      { worse: [{ when: 'telemetry.flow.value in (1) and telemetry.flow.value > 1', severity: 'critical' }] },
      '/worse/0/when',
      1,
      'it would never be this bad',
    ],
    [
      'with too many functions',
      { when: Array.from({ length: 9 }, (_, n) => `change(telemetry.flow.value, '${n + 1}m') > 1`).join(' or ') },
      '/when',
      337,
      'a rule has at most 8 functions',
    ],
    [
      'that costs too much',
      { when: Array.from({ length: 4 }, (_, n) => `count(telemetry.flow, '${n + 1}m') > 90`).join(' or ') },
      '/when',
      undefined,
      `too dear: it costs as much as 112 comparisons, and at most ${RULE_LIMITS.cost} are allowed`,
    ],
    [
      'with a command that the model has not',
      { actions: [{ kind: 'command', name: 'stop' }] },
      '/actions/0/name',
      undefined,
      'is no action of the model pump; it has resetBearing, diagnose',
    ],
    [
      'with a command whose input does not fit',
      { actions: [{ kind: 'command', name: 'diagnose', input: 1 }] },
      '/actions/0/input',
      undefined,
      'must be left out',
    ],
    [
      'with a wish that cannot be written',
      { actions: [{ kind: 'wish', desired: { flow: 1 } }] },
      '/actions/0/desired/flow',
      undefined,
      'is no writable property of the model pump',
    ],
    [
      'with a wish that does not fit',
      { actions: [{ kind: 'wish', desired: { leakThreshold: 'a' }, device: 'water' }] },
      '/actions/0/desired/leakThreshold',
      undefined,
      'must be a number',
    ],
    [
      'with a command for a device that is not there',
      { actions: [{ kind: 'command', name: 'lock', device: 'gone' }] },
      '/actions/0/device',
      undefined,
      'There is no device gone.',
    ],
    [
      'with a command that the other device has not',
      { actions: [{ kind: 'command', name: 'lock', device: 'water' }] },
      '/actions/0/name',
      undefined,
      'is no action of the model meter',
    ],
  ])('%s', (_what, rule, path, position, detail) => {
    expect(check(rule, { water: 'meter', gone: null }).problems).toEqual([[path, position, says(detail)]])
  })

  test('with all that is wrong with it at once', () => {
    const { problems } = check({ when: 'telemetry.x.value > 1', clear: 'y', text: '{z}', actions: [{ kind: 'command', name: 'stop' }] })
    expect(problems.map(([path]) => path)).toEqual(['/clear', '/text', '/when', '/actions/0/name'])
  })

  test('where none of the models that it may be for has what it reads', () => {
    const rule = { model: undefined, filter: "model in ('lock', 'meter')", when: 'telemetry.vibration.value > 1', text: 'x' }
    expect(check(rule).problems).toEqual([['/when', 1, "no model has a property 'vibration'"]])
    expect(check({ ...rule, when: 'telemetry.battery.value > 1' }).problems).toEqual([])
    expect(check({ ...rule, when: 'telemetry.volume.value > 1' }).problems).toEqual([])
  })
})

test('a property that no model names is told of, where one of the models keeps what it does not know', () => {
  const rule = { model: 'thermostat', when: 'telemetry.co2.value > 1000', text: '{telemetry.co2.value}' }
  const detail = says("no model names a property 'co2': a device of the model thermostat may send it all the same")
  expect(check(rule)).toEqual({
    problems: [],
    warnings: [
      ['/when', 1, detail],
      ['/text', 2, detail],
    ],
  })
})

describe('what the schema refuses', () => {
  test.each<[what: string, rule: object, path: string]>([
    ['neither model nor filter', { model: undefined }, 'model'],
    ['a filter that does not parse', { filter: 'site =' }, 'filter'],
    ['a duration without a unit', { for: '5' }, 'for'],
    ['a duration that is too long', { clearFor: '8d' }, 'clearFor'],
    ['no time to be late', { lateAfter: '0s' }, 'lateAfter'],
    ['a severity that is none', { severity: 'bad' }, 'severity'],
    ['an empty text', { text: '' }, 'text'],
    ['a text that is too long', { text: 'x'.repeat(RULE_LIMITS.text + 1) }, 'text'],
    ['more severities than there are', { worse: Array(4).fill({ when: 'telemetry.flow.value > 1', severity: 'critical' }) }, 'worse'],
    ['a day that is none', { schedule: { days: ['monday'], from: '08:00', to: '09:00' } }, 'schedule.days.0'],
    ['a day twice', { schedule: { days: ['mon', 'mon'], from: '08:00', to: '09:00' } }, 'schedule.days'],
    ['a time that is none', { schedule: { from: '8:00', to: '09:00' } }, 'schedule.from'],
    ['no time at all', { schedule: { from: '08:00', to: '08:00' } }, 'schedule.to'],
    ['a zone that is none', { schedule: { from: '08:00', to: '09:00', timeZone: 'Berlin' } }, 'schedule.timeZone'],
    ['an action that is none', { actions: [{ kind: 'sms' }] }, 'actions.0.kind'],
    ['more actions than it may have', { actions: Array(11).fill({ kind: 'notify', target: 'a' }) }, 'actions'],
    [
      'an escalation that goes back',
      {
        actions: [
          { kind: 'notify', target: 'a', after: '5m' },
          { kind: 'notify', target: 'b', after: '1m' },
        ],
      },
      'actions.1.after',
    ],
    [
      'two tickets',
      {
        actions: [
          { kind: 'ticket', title: 'a' },
          { kind: 'ticket', title: 'b' },
        ],
      },
      'actions.1',
    ],
    ['a wish of nothing', { actions: [{ kind: 'wish', desired: {} }] }, 'actions.0.desired'],
    ['an event with too much', { actions: [{ kind: 'event', name: 'a', data: 'x'.repeat(5_000) }] }, 'actions.0.data'],
    ['a member that is not known', { whenn: 'x' }, ''],
  ])('%s', (_what, rule, path) => {
    const given = { model: 'pump', when: 'telemetry.flow.value > 8', severity: 'major', text: 'Trouble', ...rule }
    const { error } = ruleRequest.safeParse(given)
    expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual([path])
  })
})

describe('what is never, or always, true', () => {
  const names = fc.constantFrom('a', 'b')
  const leaf = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(names, fc.constantFrom('=', '!=', '<', '<=', '>', '>='), fc.integer({ min: 0, max: 3 }))
        .map(([name, comparison, value]) => `telemetry.${name}.value ${comparison} ${value}`),
    },
    fc
      .tuple(names, fc.constantFrom("= 'x'", "!= 'x'", "< 'y'", "like 'x%'", 'in (1, true)', '= true'))
      .map(([name, rest]) => `telemetry.${name}.value ${rest}`),
    names.map((name) => `exists telemetry.${name}.value`),
  )
  const text: fc.Arbitrary<string> = fc.letrec<{ node: string }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3 },
      leaf,
      tie('node').map((node) => `not (${node})`),
      fc.tuple(tie('node'), fc.constantFrom('and', 'or'), tie('node')).map(([one, word, other]) => `(${one}) ${word} (${other})`),
    ),
  })).node
  const VALUES = [undefined, -1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, '', 'x', 'xx', 'y', 'z', true, false, {}]
  const documents = VALUES.flatMap((a) => VALUES.map((b) => ({ telemetry: { a: { value: a }, b: { value: b } } })))

  test('is seen exactly, where literals are compared', () => {
    const seen = { never: 0, always: 0, both: 0 }
    fc.assert(
      fc.property(text, (written) => {
        const condition = parseCondition(written)
        const [filter] = putIn([condition], {})
        const found = new Set(documents.map((document) => matches(filter!, document)))
        const look = lookAt(condition, () => ANYTHING)
        const [canHold, canFail] = [look.canBe(condition, true), look.canBe(condition, false)]
        // What can be is never denied; what cannot be is seen but for patterns.
        if (found.has(true)) expect(canHold).toBe(true)
        if (found.has(false)) expect(canFail).toBe(true)
        if (!written.includes('like')) expect([canHold, canFail]).toEqual([found.has(true), found.has(false)])
        seen[found.size === 2 ? 'both' : found.has(true) ? 'always' : 'never']++
      }),
      { numRuns: 3_000 },
    )
    expect(Math.min(seen.never, seen.always)).toBeGreaterThan(50)
  })

  test('is looked for within bounds: what has too many alternatives may be true', () => {
    const ors = Array.from({ length: 16 }, (_, n) => `(telemetry.a.value > ${n} or telemetry.b.value < ${n})`).join(' and ')
    const condition: Condition = parseCondition(`${ors} and telemetry.a.value < 0 and telemetry.b.value > 20`)
    const start = performance.now()
    expect(lookAt(condition, (subject) => domainOf(subject, undefined)).canBe(condition, true)).toBe(true)
    expect(performance.now() - start).toBeLessThan(2_000)
  })
})
