/** The filter of a rule, which says for which devices it is: over what is registered of a device alone, so that it changes only with that. */
import type { Literal, Path } from '../filter/language.ts'
import { TreeParser } from '../filter/parser.ts'
import type { Token } from '../filter/tokens.ts'
import type { DeviceModel } from '../model.ts'
import { ANYTHING, type Domain } from './domain.ts'
import { type Condition, leavesOf, type Right, type Subject } from './language.ts'
import { lookAt } from './satisfiable.ts'

const REGISTERED: readonly string[] = ['id', 'model', 'modelVersion', 'attributes']

/** Throws a FilterError with the place of what is wrong. */
export function parseBinding(text: string): Condition {
  return new BindingParser(text, 'filter').parse()
}

/** Those of these models whose devices it may find. */
export function modelsOf(binding: Condition, models: readonly DeviceModel[]): DeviceModel[] {
  return models.filter(({ name }) => lookAt(binding, (subject) => (isPart(subject, 'model') ? only(name) : ANYTHING)).canBe(binding, true))
}

/** More is not looked at: many rules are. */
const MOST_COMPARISONS = 16

/** Whether one device may be found by all of them, as far as that is quickly seen. `id`: it is this one. */
export function mayMeet(bindings: Condition[], id?: string): boolean {
  const all: Condition = { kind: 'and', terms: bindings }
  const comparisons = [...leavesOf(all)].length
  if (comparisons === 0 || comparisons > MOST_COMPARISONS) return true
  return lookAt(all, (subject) => (id !== undefined && isPart(subject, 'id') ? only(id) : ANYTHING)).canBe(all, true)
}

class BindingParser extends TreeParser<Subject, Right> {
  protected override subject(path: Path, { position }: Token): Subject {
    if (!REGISTERED.includes(path[0]))
      throw this.failure(position, `which devices a rule is for follows from ${REGISTERED.join(', ')} alone, not from '${path[0]}'`)
    return { at: position, kind: 'path', path }
  }

  protected override call(): undefined {}

  protected override right(isOrdered: boolean): Right {
    return { at: this.peek().position, kind: 'literal', value: this.literal(isOrdered) }
  }
}

function isPart(subject: Subject, part: 'id' | 'model'): boolean {
  return subject.kind === 'path' && subject.path.length === 1 && subject.path[0] === part
}

function only(word: Literal): Domain {
  return { accepts: (value) => value === word, points: [word] }
}
