/**
 * Rules that set each other off: one wishes, or commands, what another reads, which does the same to the first. That may be meant (a controller with
 * hysteresis is such a loop), so it is told and not refused: `a → targetTemperature → b → … → a`.
 */
import type { RuleBody } from '../schemas/rule.ts'
import { mayMeet, parseBinding } from './binding.ts'
import { type Condition, leavesOf, type Subject } from './language.ts'
import { parseCondition } from './parse.ts'

export interface LoopRule {
  name: string
  body: RuleBody
}

interface Node {
  name: string
  /** Null: any. */
  model: string | null
  bindings: Condition[]
  reads: Set<string>
  /** By what is wished or commanded. `model` and `device` undefined: of the same device. */
  touches: Array<{ what: string; model: string | null | undefined; device: string | undefined }>
}

/** The shortest loops that a rule is part of, each told from it. `modelOf`: of another device; undefined: not known. */
export function loopsOf(rule: LoopRule, live: readonly LoopRule[], modelOf: (device: string) => string | undefined): string[] {
  const nodes = [rule, ...live.filter(({ name }) => name !== rule.name)].map((each) => nodeOf(each, modelOf))
  const start = nodes[0]!
  const loops = new Map<string, string>()
  // Breadth first, from each thing that it does.
  for (const first of start.touches) {
    const queue = readersOf(nodes, start, first).map((node) => ({ node, way: [rule.name, first.what, node.name] }))
    const seen = new Set(queue.map(({ node }) => node))
    for (const { node, way } of queue) {
      if (node === start) {
        loops.set(first.what, way.join(' → '))
        break
      }
      for (const touch of node.touches)
        for (const next of readersOf(nodes, node, touch)) {
          if (seen.has(next)) continue
          seen.add(next)
          queue.push({ node: next, way: [...way, touch.what, next.name] })
        }
    }
  }
  return [...loops.values()]
}

/** For the device that is touched, as far as the filters tell. */
function readersOf(nodes: Node[], from: Node, { what, model, device }: Node['touches'][number]): Node[] {
  const touched = model === undefined ? from.model : model
  const known = device === undefined ? from.bindings : []
  return nodes.filter(
    (node) =>
      node.reads.has(what) &&
      (touched === null || node.model === null || node.model === touched) &&
      mayMeet([...known, ...node.bindings], device),
  )
}

function nodeOf({ name, body }: LoopRule, modelOf: (device: string) => string | undefined): Node {
  const touches: Node['touches'] = []
  for (const action of body.actions) {
    if (action.kind !== 'wish' && action.kind !== 'command') continue
    const model = action.device === undefined ? undefined : (modelOf(action.device) ?? null)
    const names = action.kind === 'wish' ? Object.keys(action.desired) : [action.name]
    for (const what of names) touches.push({ what, model, device: action.device })
  }
  return {
    name,
    model: body.model ?? null,
    bindings: body.filter === undefined ? [] : [parseBinding(body.filter)],
    reads: readsOf(body),
    touches,
  }
}

function readsOf({ when, clear, worse }: RuleBody): Set<string> {
  const conditions = [when, ...(clear === undefined ? [] : [clear]), ...worse.map((step) => step.when)]
  const names = conditions.flatMap((condition) => [...leavesOf(parseCondition(condition))].flatMap(({ path }) => nameRead(path) ?? []))
  return new Set(names)
}

/** Of the property. */
function nameRead(subject: Subject): string | undefined {
  if (subject.kind === 'call')
    return subject.call.name === 'health' || (subject.call.name === 'count' && subject.call.event) ? undefined : subject.call.of
  const [part, name, field] = subject.path
  if (part === 'telemetry' || part === 'ranges') return name
  return part === 'reported' || part === 'desired' ? field : undefined
}
