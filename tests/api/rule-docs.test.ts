/** docs/rules.md as it stands there: its rule is taken, its conditions are conditions, its test run runs, its limits are the limits. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TRY_LIMITS } from '../../api/http/rule-try.ts'
import { RULE_LIMITS } from '../../twin-models/rules/language.ts'
import { parseCondition } from '../../twin-models/rules/parse.ts'
import { blocksOf, section } from '../support/examples.ts'
import { type TestApi, testApi } from './test-api.ts'

const PAGE = 'docs/rules.md'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
  await api.register('p-1', { site: 'north' }, undefined, 'pump')
})
afterAll(() => api?.database.drop())

test('the first rule is taken, and doubtful in nothing', async () => {
  const [rule] = blocksOf(section(PAGE, 'A rule'), 'json')
  const { status, json } = await api.ask('PUT', '/v1/rules/vibration', { body: rule })
  expect(status).toBe(201)
  expect(json).toMatchObject({ warnings: [], rule: JSON.parse(rule!) })
})

test('every function of the table, and every comparison with an attribute, is a condition', () => {
  const text = section(PAGE, 'The language')
  const conditions = [...text.matchAll(/`((?:\w+\(|telemetry\.)[^`]*(?:[<>]=? [^`]*|'10m'\)))`/g)].map(([, condition]) => condition!)
  expect(conditions.length).toBeGreaterThan(9)
  for (const condition of conditions) expect(() => parseCondition(condition), condition).not.toThrow()
})

test('the test run is answered with what is shown', async () => {
  const [request, answer] = blocksOf(section(PAGE, 'Trying a rule'), 'json') as [string, string]
  const { status, json } = await api.ask('POST', '/v1/rules/test', { body: request })
  const shown = JSON.parse(answer)
  expect([status, Object.keys(json), Object.keys(json.devices[0])]).toEqual([200, Object.keys(shown), Object.keys(shown.devices[0])])
})

test('the limits are those that hold', () => {
  const text = section(PAGE, 'Limits').replaceAll(',', '')
  const { rules, versions, live, functions, count, cost, text: length, textPaths } = RULE_LIMITS
  const { devices, days, readings, alarms } = TRY_LIMITS
  for (const said of [
    `Rules of a tenant | ${rules} with ${versions} versions each`,
    `Live rules for the devices of one model | ${live} `,
    `Functions of readings in a rule | ${functions} each looking back for 1 s to 24 h; \`count\` up to ${count}`,
    `Cost of a rule | ${cost} `,
    `Text | ${length} characters with ${textPaths} paths`,
    `A test run | ${devices} devices ${days} days ${readings} readings ${alarms} alarms`,
  ])
    expect(text).toContain(said)
})
