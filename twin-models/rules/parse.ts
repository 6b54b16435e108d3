/**
 * Conditions of rules: filters (twin-models/filter/parse.ts) over the paths that a rule may read (readable.ts), and
 *
 *   factor     := … | 'missing' '(' property ',' window ')' | function ( '=' | '!=' | '<' | '<=' | '>' | '>=' ) ( number | attribute )
 *   function   := 'change' '(' value ',' window ')' | 'deviation' '(' value [ ',' window ] ')'
 *               | 'count' '(' ( property | value comparison literal | 'events' '.' name ) ',' window ')'
 *               | 'distance' '(' value ',' ( number ',' number | attribute ) ')'
 *   property   := 'telemetry' '.' name     value := property '.' 'value'     attribute := 'attributes' '.' segment { '.' segment }
 *   window     := '1s' to '24h', in quotes
 *
 * A literal on the right side may be an attribute. What the functions mean: twin-models/core/features.ts; that of a comparison with an attribute
 * that is absent is false. Positions are kept, so that whatever is wrong with it can be told with its place.
 */
import { parseDuration } from '../durations.ts'
import { FUNCTIONS, type Path, type Tree } from '../filter/language.ts'
import { TreeParser } from '../filter/parser.ts'
import type { Token } from '../filter/tokens.ts'
import { isPropertyName } from '../names.ts'
import { type Call, type Condition, type Right, RULE_LIMITS, type Subject } from './language.ts'
import { readableAt } from './readable.ts'

const HALF_LIFE_MS = 3_600_000

/** Throws a FilterError with the place of what is wrong. */
export function parseCondition(text: string): Condition {
  return new ConditionParser(text, 'condition').parse()
}

/** Only reads: what is compared with what is checked elsewhere. */
class ConditionParser extends TreeParser<Subject, Right> {
  protected override subject(path: Path, { position }: Token): Subject {
    const readable = readableAt(path)
    if (typeof readable === 'string') throw this.failure(position, readable)
    if (readable.kind === 'health') return { at: position, kind: 'call', call: { name: 'health', of: readable.of } }
    return { at: position, kind: 'path', path }
  }

  protected override right(isOrdered: boolean): Right {
    const { kind, position, source } = this.peek()
    if (kind !== 'word' || this.peek(1).source !== '.') return { at: position, kind: 'literal', value: this.literal(isOrdered) }
    if (source !== 'attributes') throw this.failure(position, `expected a value or attributes.NAME; '${source}…' is not compared with`)
    this.count()
    return { at: position, kind: 'attribute', path: this.path() }
  }

  protected override call({ text, position }: Token & { text: string }): Tree<Subject, Right> {
    const name = FUNCTIONS.find((known) => known === text.toLowerCase())
    if (!name) throw this.failure(position, `there is no function '${text.slice(0, 40)}'; there are ${FUNCTIONS.join(', ')}`)
    this.next += 2
    const call = this.arguments(name)
    this.expectSymbol(')')
    const path: Subject = { at: position, kind: 'call', call }
    if (name === 'missing') return { kind: 'compare', path, comparison: '=', value: this.itself(position) }
    const comparison = this.comparison() ?? this.fail('a comparison (= != < <= > >=) with a number')
    return { kind: 'compare', path, comparison, value: this.number(name) }
  }

  /** missing(…) needs no comparison. */
  private itself(at: number): Right {
    const { position } = this.peek()
    if (this.comparison()) throw this.failure(position, 'missing(…) is true or false by itself: it is not compared')
    this.count()
    return { at, kind: 'literal', value: true }
  }

  private number(name: string): Right {
    const right = this.right(true)
    if (right.kind === 'attribute' || typeof right.value === 'number') return right
    throw this.failure(right.at, `${name}(…) is a number, and is compared with a number or attributes.NAME`)
  }

  private arguments(name: (typeof FUNCTIONS)[number]): Call {
    switch (name) {
      case 'missing': {
        const of = this.property()
        return { name, of, ms: this.window() }
      }
      case 'change': {
        const of = this.value()
        return { name, of, ms: this.window() }
      }
      case 'deviation': {
        const of = this.value()
        return { name, of, ms: this.peek().source === ')' ? HALF_LIFE_MS : this.window() }
      }
      case 'distance': {
        const of = this.value()
        this.expectSymbol(',')
        return { name, of, from: this.place() }
      }
      case 'count':
        return this.counted()
    }
  }

  private counted(): Call {
    if (this.takeWord('events')) {
      this.expectSymbol('.')
      const of = this.nameAt('a device event')
      return { name: 'count', of, event: true, ms: this.window() }
    }
    const of = this.property('telemetry.NAME, telemetry.NAME.value with a comparison, or events.NAME')
    if (!this.takeSymbol('.')) return { name: 'count', of, event: false, ms: this.window() }
    this.field()
    const comparison = this.comparison() ?? this.fail(`a comparison (= != < <= > >=); all readings are count(telemetry.${of}, …)`)
    const value = this.right(comparison !== '=' && comparison !== '!=')
    return { name: 'count', of, event: false, only: { comparison, value }, ms: this.window() }
  }

  private property(expected = 'telemetry.NAME'): string {
    if (!this.takeWord('telemetry')) this.fail(expected)
    this.expectSymbol('.')
    return this.nameAt('a property')
  }

  private value(): string {
    const of = this.property('telemetry.NAME.value')
    this.expectSymbol('.', `'.value'`)
    this.field()
    return of
  }

  private field(): void {
    if (!this.takeWord('value')) this.fail("'value'")
  }

  private nameAt(what: string): string {
    const token = this.peek()
    if (token.kind !== 'word' && token.kind !== 'quoted') return this.fail(`the name of ${what}`)
    this.next++
    if (!isPropertyName(token.text)) throw this.failure(token.position, `'${token.text.slice(0, 40)}' is no name of ${what}`)
    return token.text
  }

  private window(): number {
    this.expectSymbol(',')
    const token = this.peek()
    if (token.kind !== 'string') return this.fail("how long, in single quotes, like '10m'")
    this.next++
    const ms = parseDuration(token.text)
    const { least, most } = RULE_LIMITS.windowMs
    if (ms === undefined) throw this.failure(token.position, `expected how long, like '30s', '10m' or '24h', found ${token.source}`)
    if (ms < least || ms > most) throw this.failure(token.position, `a function looks back for 1s to 24h, not ${token.source}`)
    return ms
  }

  private place(): Extract<Call, { name: 'distance' }>['from'] {
    const { kind, position, source } = this.peek()
    if (kind === 'word') {
      if (source !== 'attributes' || this.peek(1).source !== '.') this.fail('a latitude and a longitude, or attributes.NAME')
      const path = this.path()
      if (path.length < 2) throw this.failure(position, 'expected attributes.NAME')
      return path
    }
    const lat = this.degrees('a latitude', 90)
    this.expectSymbol(',')
    return { lat, lon: this.degrees('a longitude', 180) }
  }

  private degrees(what: string, most: number): number {
    const token = this.peek()
    if (token.kind !== 'number') return this.fail(`${what}, or attributes.NAME`)
    this.next++
    if (Math.abs(token.value) > most) throw this.failure(token.position, `${what} is from -${most} to ${most}, not ${token.source}`)
    return token.value
  }
}
