/** /v1/rules/test: when a rule would have raised alarms, by what is stored. Nothing is written, and nobody is told. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import type { SimulatedAlarm } from '../../twin-models/rules/simulate.ts'
import { filter as filterSchema } from '../../twin-models/schemas/filter.ts'
import { type DeviceRow, FIRST_FILTER_PARAMETER, type Registry } from '../ports.ts'
import type { RuleHistory } from '../rule-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { parseFilterParameter } from './filter-parameter.ts'
import type { RateLimit } from './rate-limit.ts'
import { noDevice } from './refusals.ts'
import { createRuleCheck } from './rule-check.ts'
import { MAX_RULE_BYTES, newRuleSchema, RULE_EXAMPLE, ruleTag, warningsSchema } from './rule-json.ts'
import { createRuleTry, TRY_LIMITS } from './rule-try.ts'
import type { RuleDeps } from './rules.ts'
import { deviceId, iso, jsonContent, jsonValue, time, timeParameter } from './schemas.ts'

export interface RuleTestDeps extends RuleDeps {
  registry: Pick<Registry, 'find' | 'list'>
  ruleHistory: RuleHistory
  now: () => number
  testLimit: RateLimit
}

const DAY_MS = 86_400_000

const testRequest = z
  .strictObject({
    rule: newRuleSchema,
    device: deviceId.optional(),
    filter: filterSchema.optional().openapi({ description: 'Instead of `device`: the first ones, by id, that it finds.' }),
    limit: z.int('must be a whole number').min(1).max(TRY_LIMITS.devices).default(TRY_LIMITS.devices),
    from: timeParameter.optional().openapi({ description: 'Inclusive. Default: a day before `to`.' }),
    to: timeParameter.optional().openapi({ description: 'Exclusive. Default: now.' }),
  })
  .superRefine(({ device, filter }, context) => {
    if ((device === undefined) === (filter === undefined))
      context.addIssue({ code: 'custom', path: ['device'], message: 'one of device and filter is needed' })
  })
  .openapi('RuleTest', { example: { rule: RULE_EXAMPLE as never, device: 'p-1' } as never })

const values = z.record(z.string(), jsonValue).openapi({ description: 'What the rule read, by the name of the reading.' })
const alarm = z.object({
  since: time.openapi({ description: 'Since when its condition held.' }),
  raisedAt: time,
  severity: z.string().openapi({ description: 'The worst that it became.' }),
  text: z.string(),
  values,
  count: z.int().openapi({ description: 'How often it came back before it was cleared.' }),
  flapping: z.boolean().optional(),
  worse: z.array(z.object({ at: time, severity: z.string(), text: z.string() })).openapi({ description: 'When it became worse.' }),
  cleared: z.object({ at: time, values }).optional().openapi({ description: 'Absent: it would still be there at the end.' }),
})
const tested = z
  .object({
    from: time,
    to: time,
    readings: z.int().openapi({ description: 'That were looked at.' }),
    devices: z.array(
      z.object({
        device: z.string(),
        applies: z.boolean().openapi({ description: 'The rule is for it, by its model and filter.' }),
        readings: z.int(),
        alarms: z.array(alarm),
      }),
    ),
    more: z.boolean().openapi({ description: `There are more than ${TRY_LIMITS.alarms} alarms: the rest was not looked at.` }),
    warnings: warningsSchema,
  })
  .openapi('RuleTested')

export function ruleTestEndpoints(endpoint: Endpoints, deps: RuleTestDeps): void {
  const { registry, models, ruleHistory, now, testLimit } = deps
  const check = createRuleCheck(deps)
  const tryRule = createRuleTry({ history: ruleHistory, models })

  endpoint(
    {
      method: 'post',
      path: '/v1/rules/test',
      operationId: 'testRule',
      summary: 'Try a rule on what is stored',
      description: `When it would have raised alarms, had it been live from \`from\` on: at most ${TRY_LIMITS.days} days, ${TRY_LIMITS.devices} devices, ${TRY_LIMITS.readings} readings. Functions of readings begin with \`from\`, and attributes are those of now. Nothing is written, and nobody is told.`,
      tag: ruleTag,
      body: { schema: testRequest, types: ['application/json'], maxBytes: MAX_RULE_BYTES },
      responses: { 200: { description: 'What would have been.', content: jsonContent(tested) } },
      problems: [404, 409],
      deadlineMs: TRY_LIMITS.ms + 5_000,
    },
    async ({ tenant, body, limitBy }) => {
      limitBy(testLimit)
      const { from, to } = periodOf(body, now())
      const warnings = await check(tenant, body.rule, undefined, '/rule')
      const devices = await devicesOf(tenant, body)
      const { model = null, filter = null } = body.rule
      const rule = { name: 'test', version: 1, model, filter, body: JSON.stringify(body.rule), createdAt: from }
      const { isOfHealth, readings, more, ...found } = await tryRule({ tenant, rule, devices, from, to })
      const ofHealth = {
        path: '/rule',
        detail: 'health.battery and health.rssi are not stored with each change: what is known of them is old',
      }
      const answer = {
        from: iso(from),
        to: iso(to),
        readings,
        devices: found.devices.map((device) => ({ ...device, alarms: device.alarms.map(shownAlarm) })),
        more,
        warnings: [...warnings, ...(isOfHealth ? [ofHealth] : [])],
      }
      return { status: 200, body: JSON.stringify(answer) }
    },
  )

  async function devicesOf(
    tenant: string,
    { device, filter, limit }: { device?: string | undefined; filter?: string | undefined; limit: number },
  ): Promise<DeviceRow[]> {
    if (device === undefined) {
      const compiled = compileFilter(parseFilterParameter(filter!), FIRST_FILTER_PARAMETER)
      return registry.list(tenant, { after: undefined, limit }, compiled)
    }
    const row = await registry.find(tenant, device)
    if (!row) throw noDevice(device)
    return [row]
  }
}

function periodOf(given: { from?: number | undefined; to?: number | undefined }, now: number): { from: number; to: number } {
  const to = given.to ?? now
  const from = given.from ?? to - DAY_MS
  if (to > now) throw invalid('/to', 'is in the future')
  if (from >= to) throw invalid('/from', 'must be before to')
  if (to - from > TRY_LIMITS.days * DAY_MS) throw invalid('/from', `is more than ${TRY_LIMITS.days} days before to`)
  return { from, to }
}

function invalid(path: string, detail: string): CastorError {
  return new CastorError('invalid', `The time is not valid: ${path} ${detail}.`, { errors: [{ path, detail }] })
}

function shownAlarm({ since, raisedAt, severity, text, values, count, flapping, worse, cleared }: SimulatedAlarm): object {
  return {
    since: iso(since),
    raisedAt: iso(raisedAt),
    severity,
    text,
    values,
    count,
    ...(flapping && { flapping }),
    worse: worse.map((step) => ({ ...step, at: iso(step.at) })),
    ...(cleared && { cleared: { at: iso(cleared.at), values: cleared.values } }),
  }
}
