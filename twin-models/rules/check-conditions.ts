/** What can be seen of the conditions of a rule alone: what is never or always true, what clears and raises at once, what is too dear. */
import type { DeviceModel } from '../model.ts'
import { costOf } from './cost.ts'
import { type Domain, domainOf, type Sample } from './domain.ts'
import { type Condition, keyOf, leavesOf, nameOf, positionOf, RULE_LIMITS, type Subject } from './language.ts'
import type { RuleProblem } from './problem.ts'
import { countedTo } from './put-in.ts'
import { type Look, lookAt, shared } from './satisfiable.ts'

export interface NamedCondition {
  /** JSON pointer into the rule. */
  path: string
  kind: 'when' | 'clear' | 'worse'
  condition: Condition
}

type DomainOf = (subject: Subject) => Domain

/** `model`: where it is for one alone. */
export function checkConditions(named: NamedCondition[], model: DeviceModel | undefined): RuleProblem[] {
  const domain: DomainOf = (subject) => domainOf(subject, model)
  const dear = dearProblems(named)
  if (dear.length > 0) return dear
  const impossible = named.flatMap((each) => truthProblem(each, domain) ?? [])
  return impossible.length > 0 ? impossible : overlapProblems(named, domain)
}

function dearProblems(named: NamedCondition[]): RuleProblem[] {
  const counts = new Map<string, number>()
  const calls = new Set<string>()
  for (const { path, condition } of named)
    for (const leaf of leavesOf(condition)) {
      const { path: subject } = leaf
      if (subject.kind !== 'call' || subject.call.name === 'health') continue
      const key = keyOf(subject)
      calls.add(key)
      if (calls.size > RULE_LIMITS.functions)
        return [{ path, position: subject.at, detail: `a rule has at most ${RULE_LIMITS.functions} functions of readings` }]
      if (subject.call.name !== 'count' || leaf.kind !== 'compare') continue
      const { value } = leaf
      const most = value.kind === 'literal' ? countedTo(leaf.comparison, value.value as number) : RULE_LIMITS.count
      if (most > RULE_LIMITS.count)
        return [{ path, position: value.at, detail: `count(…) counts up to ${RULE_LIMITS.count}: it cannot be compared with this` }]
      counts.set(key, Math.max(most, counts.get(key) ?? 0))
    }
  const cost = costOf(
    named.map(({ condition }) => condition),
    (key) => counts.get(key) ?? 1,
  )
  if (cost <= RULE_LIMITS.cost) return []
  return [
    { path: '/when', detail: `the rule is too dear: it costs as much as ${cost} comparisons, and at most ${RULE_LIMITS.cost} are allowed` },
  ]
}

/** Of the smallest part that shows it. */
function truthProblem({ path, kind, condition }: NamedCondition, domain: DomainOf): RuleProblem | undefined {
  const look = lookAt(condition, domain)
  const found = constantPart(condition, look)
  if (!found) return undefined
  const { part, isTrue } = found
  const position = positionOf(part)
  if (part !== condition) return { path, position, detail: `${partOf(part)} is ${isTrue ? 'always' : 'never'} true` }
  return { path, position, detail: `${partOf(part)} is ${isTrue ? `always true: ${ALWAYS[kind]}` : `never true: ${NEVER[kind]}`}` }
}

const NEVER = { when: 'nothing would be raised', clear: 'no alarm would clear by itself', worse: 'it would never be this bad' }
const ALWAYS = {
  when: 'all of its devices would have the alarm for ever',
  clear: 'every alarm would be cleared at once',
  worse: 'it would be this bad at once',
}

function constantPart(condition: Condition, look: Look): { part: Condition; isTrue: boolean } | undefined {
  const parts = 'terms' in condition ? condition.terms : condition.kind === 'not' ? [condition.term] : []
  for (const part of parts) {
    const found = constantPart(part, look)
    if (found) return found
  }
  if (!look.canBe(condition, true)) return { part: condition, isTrue: false }
  return look.canBe(condition, false) ? undefined : { part: condition, isTrue: true }
}

function partOf(part: Condition): string {
  const leaves = [...leavesOf(part)]
  const names = [...new Set(leaves.map(({ path }) => nameOf(path)))]
  if (leaves.length === 1) return `this comparison of ${names[0]}`
  return names.length === 1 ? `what is said of ${names[0]} here` : 'this'
}

function overlapProblems(named: NamedCondition[], domain: DomainOf): RuleProblem[] {
  const when = named.find(({ kind }) => kind === 'when')
  const clear = named.find(({ kind }) => kind === 'clear')
  const both = when && clear && shared(when.condition, clear.condition, domain)
  if (!both) return []
  const { subject, value } = both
  const detail = `overlaps when: both are true where ${nameOf(subject)} is ${shown(value)}, so that an alarm would be cleared at once`
  return [{ path: '/clear', position: positionOf(clear.condition), detail }]
}

function shown(value: Sample): string {
  if (value === undefined) return 'not known'
  return typeof value === 'object' ? 'an object' : JSON.stringify(value)
}
