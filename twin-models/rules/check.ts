/**
 * Looks a rule over when it is written: what cannot be meant is refused with its reason and place, what is doubtful is told. The schema has looked at
 * the shape before (twin-models/schemas/rule.ts).
 */

import { SEVERITIES } from '../core/rule-types.ts'
import type { DeviceModel } from '../model.ts'
import type { RuleBody } from '../schemas/rule.ts'
import { modelsOf, parseBinding } from './binding.ts'
import { checkActions } from './check-actions.ts'
import { checkConditions, type NamedCondition } from './check-conditions.ts'
import { hoursProblems } from './check-hours.ts'
import { checkNames } from './check-names.ts'
import { parseCondition } from './parse.ts'
import { type Findings, parsedAt, type RuleProblem } from './problem.ts'
import { parseText } from './text.ts'

export interface CheckDeps {
  models: readonly DeviceModel[]
  /** Of the devices that its actions name. Null: there is no such device; undefined: its model is not there any more. */
  deviceModels: ReadonlyMap<string, DeviceModel | undefined | null>
}

export function checkRule(body: RuleBody, { models, deviceModels }: CheckDeps): Findings {
  const problems: RuleProblem[] = []
  const warnings: RuleProblem[] = []
  const mayBe = modelsFor(body, models, problems)
  const conditions = conditionsOf(body, problems)
  const text = parsedAt('/text', problems, () => parseText(body.text))
  problems.push(...severityProblems(body), ...clearProblems(body), ...hoursProblems(body))
  if (mayBe !== undefined) {
    const named = checkNames({ conditions, text: text ?? [], models: mayBe })
    problems.push(...named.problems)
    warnings.push(...named.warnings)
    problems.push(...checkActions(body.actions, { models: mayBe, deviceModels }))
  }
  // Types that do not fit explain better why something is never true.
  if (problems.length === 0) problems.push(...checkConditions(conditions, mayBe?.length === 1 ? mayBe[0] : undefined))
  return { problems, warnings }
}

/** Those whose devices it may be for. Undefined: that cannot be told. */
function modelsFor({ model, filter }: RuleBody, all: readonly DeviceModel[], problems: RuleProblem[]): readonly DeviceModel[] | undefined {
  const named = model === undefined ? all : all.filter(({ name }) => name === model)
  if (named.length === 0)
    problems.push({ path: '/model', detail: `There is no model ${model}; there are ${all.map(({ name }) => name).join(', ')}.` })
  if (filter === undefined) return named.length === 0 ? undefined : named
  const binding = parsedAt('/filter', problems, () => parseBinding(filter))
  if (!binding || named.length === 0) return undefined
  const found = modelsOf(binding, named)
  if (found.length > 0) return found
  problems.push({
    path: '/filter',
    detail: model === undefined ? 'is true of no device of any model' : `is true of no device of the model ${model}`,
  })
  return undefined
}

function conditionsOf({ when, clear, worse }: RuleBody, problems: RuleProblem[]): NamedCondition[] {
  const texts = [
    { path: '/when', kind: 'when' as const, text: when },
    ...(clear === undefined ? [] : [{ path: '/clear', kind: 'clear' as const, text: clear }]),
    ...worse.map((step, i) => ({ path: `/worse/${i}/when`, kind: 'worse' as const, text: step.when })),
  ]
  return texts.flatMap(({ path, kind, text }) => {
    const condition = parsedAt(path, problems, () => parseCondition(text))
    return condition ? [{ path, kind, condition }] : []
  })
}

function severityProblems({ severity, worse }: RuleBody): RuleProblem[] {
  return worse.flatMap((step, i) =>
    SEVERITIES.indexOf(step.severity) > SEVERITIES.indexOf(severity)
      ? []
      : [{ path: `/worse/${i}/severity`, detail: `is not worse than ${severity}, the severity of the rule` }],
  )
}

/** What is for open alarms only says something where there can be one. */
function clearProblems({ when, clear }: RuleBody): RuleProblem[] {
  return clear !== undefined && clear.trim() === when.trim() ? [{ path: '/clear', detail: 'is the same as when' }] : []
}

/** Devices that its actions name. */
export function devicesOf({ actions }: RuleBody): string[] {
  return [...new Set(actions.flatMap((action) => ('device' in action && action.device !== undefined ? [action.device] : [])))]
}
