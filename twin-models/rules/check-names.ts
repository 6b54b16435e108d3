/**
 * What a rule reads, held against the models of its devices: properties and device events that are there, values of their types. Of several models
 * those count that have what is read; a model that keeps whatever a device sends may have it.
 */
import type { Comparison, Literal } from '../filter/language.ts'
import type { DataType, DeviceModel } from '../model.ts'
import type { NamedCondition } from './check-conditions.ts'
import { type Call, type Leaf, leavesOf, nameOf, type Right } from './language.ts'
import type { Findings, RuleProblem } from './problem.ts'
import { readableAt } from './readable.ts'
import type { TextPart } from './text.ts'

interface Asked {
  conditions: NamedCondition[]
  text: TextPart[]
  models: readonly DeviceModel[]
}

/** What values are: as one says it. */
type Kind = 'a number' | 'a text' | 'true or false' | 'an object' | 'a list'

const KINDS: Record<DataType, Kind> = {
  number: 'a number',
  integer: 'a number',
  string: 'a text',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
}

export function checkNames({ conditions, text, models }: Asked): Findings {
  const findings: Findings = { problems: [], warnings: [] }
  for (const { path, condition } of conditions)
    for (const leaf of leavesOf(condition)) new Check(findings, models, path, leaf.path.at).leaf(leaf)
  for (const part of text) {
    if (typeof part === 'string') continue
    const readable = readableAt(part.path)
    if (typeof readable !== 'string') new Check(findings, models, '/text', part.at).read(readable)
  }
  findings.problems.splice(20)
  return findings
}

/** Of what stands at one place. */
class Check {
  readonly #findings: Findings
  readonly #models: readonly DeviceModel[]
  readonly #path: string
  readonly #position: number

  constructor(findings: Findings, models: readonly DeviceModel[], path: string, position: number) {
    this.#findings = findings
    this.#models = models
    this.#path = path
    this.#position = position
  }

  leaf(leaf: Leaf): void {
    const { path: subject } = leaf
    if (subject.kind === 'call') {
      const is = subject.call.name === 'missing' ? 'true or false' : 'a number'
      this.#call(subject.call)
      this.#compared(leaf, nameOf(subject), [is])
      return
    }
    const readable = readableAt(subject.path)
    if (typeof readable !== 'string') this.#compared(leaf, nameOf(subject), this.read(readable))
  }

  /** What may stand there. Undefined: anything. */
  read(readable: Exclude<ReturnType<typeof readableAt>, string>): Kind[] | undefined {
    switch (readable.kind) {
      case 'telemetry':
        return this.#property(readable.of)
      case 'range':
        if (!this.#models.some(({ settings }) => Object.hasOwn(settings.ranges, readable.of)))
          this.#refuse(
            this.#one
              ? `the model ${this.#one.name} gives '${readable.of}' no normal range`
              : `no model gives '${readable.of}' a normal range`,
          )
        return ['a text']
      case 'state': {
        const kinds = this.#property(readable.of, readable.part === 'desired')
        return readable.inner.length > 0 ? undefined : kinds
      }
      case 'health':
        return ['a number']
      case 'words':
        return ['a text']
      case 'flag':
        return ['true or false']
    }
  }

  #call(call: Call): void {
    if (call.name === 'health') return
    if (call.name === 'count' && call.event) {
      this.#has(call.of, 'device event', ({ events }) => events)
      return
    }
    const kinds = this.#property(call.of)
    if (call.name === 'change' || call.name === 'deviation') this.#needs(call, kinds, 'a number')
    if (call.name === 'distance') this.#needs(call, kinds, 'an object')
    if (call.name === 'count' && call.only) this.#fits(call.only.value, `telemetry.${call.of}.value`, kinds, call.only.comparison)
  }

  #needs({ name, of }: Call, kinds: Kind[] | undefined, kind: Kind): void {
    if (kinds && !kinds.includes(kind)) this.#refuse(`${name}(…) takes ${kind}, and '${of}' is ${kinds.join(' or ')}`)
  }

  /** Undefined: it is not known of what type it is. */
  #property(name: string, mustBeWritable = false): Kind[] | undefined {
    const found = this.#models.flatMap(({ properties }) => properties.get(name) ?? [])
    if (!this.#has(name, 'property', ({ properties }) => properties) || found.length === 0) return undefined
    if (mustBeWritable && !found.some(({ writable }) => writable)) this.#refuse(`'${name}' is not writable: nothing is ever desired of it`)
    return [...new Set(found.map(({ type }) => KINDS[type]))]
  }

  #has(name: string, what: string, of: (model: DeviceModel) => ReadonlyMap<string, unknown>): boolean {
    if (this.#models.some((model) => of(model).has(name))) return true
    const keeps = this.#models.filter(({ unknownProperties }) => unknownProperties === 'keep')
    if (keeps.length === 0) {
      const names = this.#one && [...of(this.#one).keys()]
      const there = names && (names.length === 0 ? '; it has none' : `; it has ${names.join(', ')}`)
      this.#refuse(this.#one ? `the model ${this.#one.name} has no ${what} '${name}'${there}` : `no model has a ${what} '${name}'`)
      return false
    }
    const names = keeps.map((model) => model.name).join(', ')
    this.#warn(`no model names a ${what} '${name}': a device of the model ${names} may send it all the same`)
    return true
  }

  #compared(leaf: Leaf, subject: string, kinds: Kind[] | undefined): void {
    if (kinds && !kinds.some(isScalar)) {
      this.#refuse(`${subject} is ${kinds.join(' or ')}: distance(…) is what takes a {lat, lon}, and missing(…) tells that nothing came`)
      return
    }
    if (leaf.kind === 'compare') this.#fits(leaf.value, subject, kinds, leaf.comparison)
    if (leaf.kind === 'like' && kinds && !kinds.includes('a text'))
      this.#refuse(`like is for texts, and ${subject} is ${kinds.join(' or ')}`)
    if (leaf.kind !== 'in' || !kinds) return
    const wrong = leaf.values.find((value) => !kinds.includes(kindOf(value)))
    if (wrong !== undefined) this.#refuse(`${subject} is ${kinds.join(' or ')}, never ${JSON.stringify(wrong)}`)
  }

  #fits(right: Right, subject: string, kinds: Kind[] | undefined, comparison: Comparison): void {
    if (!kinds) return
    const isOrdered = comparison !== '=' && comparison !== '!='
    if (isOrdered && kinds.every((kind) => kind === 'true or false'))
      this.#refuse(`${subject} is true or false, which have no order: use = or !=`)
    else if (right.kind === 'literal' && !kinds.includes(kindOf(right.value)))
      this.#refuse(`${subject} is ${kinds.join(' or ')}, and is compared with ${JSON.stringify(right.value)}`, right.at)
  }

  /** The only model that it may be for. */
  get #one(): DeviceModel | undefined {
    return this.#models.length === 1 ? this.#models[0] : undefined
  }

  #refuse(detail: string, position = this.#position): void {
    this.#add(this.#findings.problems, { path: this.#path, position, detail })
  }

  #warn(detail: string): void {
    this.#add(this.#findings.warnings, { path: this.#path, position: this.#position, detail })
  }

  #add(findings: RuleProblem[], finding: RuleProblem): void {
    if (!findings.some(({ path, position, detail }) => path === finding.path && position === finding.position && detail === finding.detail))
      findings.push(finding)
  }
}

function isScalar(kind: Kind): boolean {
  return kind !== 'an object' && kind !== 'a list'
}

function kindOf(value: Literal): Kind {
  if (typeof value === 'number') return 'a number'
  return typeof value === 'string' ? 'a text' : 'true or false'
}
