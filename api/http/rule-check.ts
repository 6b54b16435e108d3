/** A rule that is to be written, or tried, looked over with what is stored: models, devices that its actions name, and the tenant's live rules. */
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { checkRule, devicesOf } from '../../twin-models/rules/check.ts'
import { loopsOf } from '../../twin-models/rules/loops.ts'
import { type RuleProblem, sentenceOf } from '../../twin-models/rules/problem.ts'
import type { RuleBody } from '../../twin-models/schemas/rule.ts'
import { type Named, type NamedDeps, namedByTicket, unknownNames } from '../../twin-models/unknown-names.ts'
import type { Models, Registry } from '../ports.ts'
import type { Rules } from '../rule-ports.ts'

export interface RuleCheckDeps extends NamedDeps {
  rules: Pick<Rules, 'live'>
  registry: Pick<Registry, 'find'>
  models: Models
}

const MOST_TOLD = 20

export function createRuleCheck(deps: RuleCheckDeps) {
  const { rules, registry, models } = deps

  /** Throws what is wrong with it, and gives what is doubtful. `at`: JSON pointer to it in the request. */
  return async function check(tenant: string, body: RuleBody, name?: string, at = ''): Promise<RuleProblem[]> {
    const rows = await Promise.all(devicesOf(body).map(async (device) => [device, await registry.find(tenant, device)] as const))
    const deviceModels = new Map(
      rows.map(([device, row]): [string, DeviceModel | undefined | null] => [device, row ? models.find(row.model) : null]),
    )
    const { problems, warnings } = checkRule(body, { models: models.list(), deviceModels })
    problems.push(...(await unknownNames(tenant, namedBy(body), deps)))
    if (problems.length > 0) throw refused(problems, at)
    if (name === undefined || !body.actions.some(({ kind }) => kind === 'wish' || kind === 'command')) return warnings
    const live = (await rules.live(tenant)).map((rule) => ({ name: rule.name, body: JSON.parse(rule.body) as RuleBody }))
    const loops = loopsOf({ name, body }, live, (device) => deviceModels.get(device)?.name)
    return [...warnings, ...loops.map((loop) => ({ path: '/actions', detail: `sets itself off again: ${loop}` }))]
  }
}

/** Whom it tells, and what it asks. */
function namedBy({ actions }: RuleBody): Named[] {
  return actions.flatMap((action, n): Named[] => {
    const at = `/actions/${n}`
    if (action.kind === 'notify') return [{ path: `${at}/target`, kind: 'target', name: action.target }]
    if (action.kind === 'predict') return [{ path: `${at}/model`, kind: 'prediction model', name: action.model }]
    return action.kind === 'ticket' ? namedByTicket({ ...action, onCall: action.onCall ?? [] }, at) : []
  })
}

function refused(problems: RuleProblem[], at: string): CastorError {
  const told = problems.slice(0, MOST_TOLD).map((problem) => ({ path: `${at}${problem.path}`, detail: sentenceOf(problem) }))
  const sentence = told.map(({ path, detail }) => `${path}: ${detail}`).join('; ')
  return new CastorError('invalid', `The rule is refused: ${sentence}`, { errors: told })
}
