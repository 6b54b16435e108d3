/** Rules as REST takes and shows them. */
import { z } from '@hono/zod-openapi'
import type { Findings, RuleProblem } from '../../twin-models/rules/problem.ts'
import { RULE_STATUSES, type RuleBody, ruleName, ruleRequest } from '../../twin-models/schemas/rule.ts'
import type { RuleRow, RuleVersion } from '../rule-ports.ts'
import { iso, jsonValue, time } from './schemas.ts'

export const ruleTag = 'Rules'
export const MAX_RULE_BYTES = 64 * 1024

export const RULE_EXAMPLE = {
  status: 'live',
  model: 'pump',
  filter: "attributes.site = 'north'",
  when: "telemetry.vibration.value > 8 and presence.status = 'online'",
  clear: 'telemetry.vibration.value < 6',
  for: '5m',
  severity: 'major',
  worse: [{ when: 'telemetry.vibration.value > 12', severity: 'critical' }],
  text: 'Vibration is {telemetry.vibration.value} mm/s',
  actions: [{ kind: 'event', name: 'pump-trouble' }],
}

export const newRuleSchema = ruleRequest.openapi('NewRule', {
  description:
    'For the devices of a `model`, of a `filter` over id, model, modelVersion and attributes, or both. `when`, `clear` and `worse` are conditions: filters over telemetry.NAME.value, presence, ranges, reported, desired, firmware and health, with functions of readings. Durations like `5m`. docs/rules.md has the language, and what each member means.',
  example: RULE_EXAMPLE as never,
})

const finding = z.object({
  path: z.string().openapi({ description: 'JSON pointer into the rule.', example: '/when' }),
  position: z.int().optional().openapi({ description: 'In the text there, counted from 1.' }),
  detail: z.string(),
})
export const warningsSchema = z.array(finding).openapi({ description: 'What is doubtful: loops, properties that no model names.' })

export const ruleSchema = z
  .object({
    name: z.string().openapi({ example: 'pump-vibration' }),
    version: z.int().openapi({ description: 'Rises with every change.', example: 3 }),
    status: z.enum(RULE_STATUSES),
    rule: jsonValue.openapi({
      description: 'As it was written, with the defaults: it can be written again as it is.',
      example: RULE_EXAMPLE,
    }),
    createdAt: time,
    createdBy: z.string(),
    changedAt: time.openapi({ description: 'When this version was written.' }),
  })
  .openapi('Rule')

export const writtenRuleSchema = ruleSchema.extend({ warnings: warningsSchema }).openapi('WrittenRule')

export const ruleVersionSchema = z
  .object({ version: z.int(), rule: jsonValue, createdAt: time, createdBy: z.string() })
  .openapi('RuleVersion')

export const ruleParams = z.object({ name: ruleName.openapi({ param: { name: 'name', in: 'path' }, example: 'pump-vibration' }) })
export const ruleVersionParams = ruleParams.extend({
  version: z.coerce
    .number('a version is a whole number')
    .int('a version is a whole number')
    .min(1)
    .max(2 ** 31 - 1)
    .openapi({ param: { name: 'version', in: 'path' }, type: 'integer' }),
})
export const etagHeaders = z.object({ ETag: z.string().openapi({ description: 'The version.', example: '"3"' }) })

export function ruleJson(
  { name, version, status, body, createdAt, createdBy, changedAt }: RuleRow,
  warnings?: Findings['warnings'],
): string {
  const rule = JSON.parse(body) as RuleBody
  const shown = { name, version, status, rule, createdAt: iso(createdAt), createdBy, changedAt: iso(changedAt) }
  return JSON.stringify({ ...shown, ...(warnings && { warnings: warnings.map(shownFinding) }) })
}

export function versionJson({ version, body, createdAt, createdBy }: RuleVersion): string {
  return JSON.stringify({ version, rule: JSON.parse(body) as RuleBody, createdAt: iso(createdAt), createdBy })
}

function shownFinding({ path, position, detail }: RuleProblem): RuleProblem {
  return { path, ...(position !== undefined && { position }), detail }
}
