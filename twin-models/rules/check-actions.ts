/**
 * What a rule does to devices, held against their models: commands that are there and take this input, wishes of properties that are writable and
 * take this value. Of several models that a rule may be for, one has to fit: the others' twins refuse.
 */
import { isObject } from '../core/plain.ts'
import type { JsonObject, Value } from '../core/types.ts'
import type { DeviceModel } from '../model.ts'
import type { RuleAction } from '../schemas/rule.ts'
import type { RuleProblem } from './problem.ts'

export interface ActionDeps {
  /** Of the devices that the rule is for. */
  models: readonly DeviceModel[]
  /** Of the devices that its actions name. Null: there is no such device; undefined: its model is not there any more. */
  deviceModels: ReadonlyMap<string, DeviceModel | undefined | null>
}

export function checkActions(actions: RuleAction[], deps: ActionDeps): RuleProblem[] {
  return actions.flatMap((action, i) => {
    if (action.kind !== 'command' && action.kind !== 'wish') return []
    const path = `/actions/${i}`
    const models = modelsOf(action.device, deps)
    if (models === undefined) return [{ path: `${path}/device`, detail: `There is no device ${action.device}.` }]
    if (models.length === 0) return []
    return action.kind === 'command' ? commandProblems(action, path, models) : wishProblems(action.desired as JsonObject, path, models)
  })
}

function modelsOf(device: string | undefined, { models, deviceModels }: ActionDeps): readonly DeviceModel[] | undefined {
  if (device === undefined) return models
  const model = deviceModels.get(device)
  if (model === null) return undefined
  return model ? [model] : []
}

function commandProblems(
  { name, input }: Extract<RuleAction, { kind: 'command' }>,
  path: string,
  models: readonly DeviceModel[],
): RuleProblem[] {
  const found = models.flatMap(({ actions }) => actions.get(name) ?? [])
  if (found.length === 0) {
    const known = models.length === 1 ? namesOf(models[0]!.actions) : ''
    return [{ path: `${path}/name`, detail: `is no action of ${whose(models)}${known}` }]
  }
  const wrong = found.map((action) => action.inputProblem(input as Value | undefined))
  return wrong.includes(undefined) ? [] : [{ path: `${path}/input`, detail: wrong[0]! }]
}

function wishProblems(desired: JsonObject, path: string, models: readonly DeviceModel[]): RuleProblem[] {
  return Object.entries(desired).flatMap(([name, value]) => {
    const at = `${path}/desired/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const writable = models.flatMap(({ properties }) => properties.get(name) ?? []).filter((property) => property.writable)
    if (writable.length === 0) return [{ path: at, detail: `is no writable property of ${whose(models)}` }]
    // Null takes a wish back, and of an object a part is enough: the rest may be wished already.
    if (value === null || isObject(value)) return []
    const wrong = writable.map((property) => property.problemOf(value))
    return wrong.includes(undefined) ? [] : [{ path: at, detail: wrong[0]! }]
  })
}

function whose(models: readonly DeviceModel[]): string {
  return models.length === 1 ? `the model ${models[0]!.name}` : 'any model that the rule may be for'
}

function namesOf(actions: DeviceModel['actions']): string {
  return actions.size === 0 ? '; it has none' : `; it has ${[...actions.keys()].join(', ')}`
}
