/**
 * The filter language: one meaning for search, streams, webhooks, bulk and rollouts (docs/architecture.md §3.14).
 *
 *   filter     := term { 'or' term }
 *   term       := factor { 'and' factor }
 *   factor     := 'not' factor | '(' filter ')' | 'exists' path | path test
 *   test       := ( '=' | '!=' | '<' | '<=' | '>' | '>=' ) literal | 'in' '(' literal { ',' literal } ')' | 'like' string
 *   path       := segment { '.' segment }        segment := a word, or "anything" with "" for a quote
 *   literal    := 'text' with '' for a quote | number | true | false
 *
 * What it means, exactly (evaluate.ts and sql.ts both do this, and a property test holds them to it):
 * - A path goes down through objects of the twin document by their keys; arrays have no keys. What is not there, or is null, is absent.
 * - A comparison with something absent, or with another JSON type, is false. Numbers compare as numbers, text by code points.
 * - `!=` is the negation of `=`; `not` is plain negation. So there are two values only, true and false.
 * - `like` matches the whole text: `%` is any text, `_` any one character, `\` takes the next character as it is. Case counts.
 * Keywords may be written in any case.
 */
import { CastorError } from '../errors.ts'
import { type Token, tokensOf } from './tokens.ts'

export type Literal = string | number | boolean
export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>='
export type Path = [root: string, ...rest: string[]]

export type Filter =
  | { kind: 'and' | 'or'; terms: Filter[] }
  | { kind: 'not'; term: Filter }
  | { kind: 'compare'; path: Path; comparison: Comparison; value: Literal }
  | { kind: 'in'; path: Path; values: Literal[] }
  | { kind: 'like'; path: Path; pattern: string }
  | { kind: 'exists'; path: Path }

export const FILTER_LIMITS = { length: 2048, depth: 16, literals: 64, segments: 12, wildcards: 8 } as const

/** The parts of the twin document (docs/architecture.md §10). A path that starts elsewhere is a mistake worth telling. */
export const DOCUMENT_PARTS = [
  'id',
  'tenant',
  'model',
  'modelVersion',
  'revision',
  'status',
  'attributes',
  'presence',
  'telemetry',
  'ranges',
  'reported',
  'desired',
  'delta',
  'firmware',
  'health',
  'update',
  'clock',
  'alarms',
  'maintenance',
  'createdAt',
  'updatedAt',
] as const

export class FilterError extends CastorError {
  /** Counted from 1, in characters. */
  readonly position: number

  constructor(position: number, detail: string) {
    super('invalid', `The filter is not valid at character ${position}: ${detail}`)
    this.name = 'FilterError'
    this.position = position
  }
}

export function parseFilter(text: string): Filter {
  if (text.length > FILTER_LIMITS.length) {
    throw new FilterError(FILTER_LIMITS.length + 1, `a filter has at most ${FILTER_LIMITS.length} characters`)
  }
  const tokens = tokensOf(text, (position, detail) => new FilterError(position, detail))
  return new Parser(tokens).parse()
}

const COMPARISONS: ReadonlySet<string> = new Set(['=', '!=', '<', '<=', '>', '>='])

/** Recursive descent; depth is bounded, so the stack is. */
class Parser {
  private readonly tokens: Token[]
  private next = 0
  private depth = 0
  private literals = 0

  constructor(tokens: Token[]) {
    this.tokens = tokens
  }

  parse(): Filter {
    const filter = this.or()
    if (this.peek().kind !== 'end') this.fail("'and', 'or' or the end")
    return filter
  }

  private or(): Filter {
    return this.chain('or', () => this.chain('and', () => this.factor()))
  }

  private chain(kind: 'and' | 'or', part: () => Filter): Filter {
    const first = part()
    if (!this.isWord(kind)) return first
    const terms = [first]
    while (this.takeWord(kind)) terms.push(part())
    return { kind, terms }
  }

  private factor(): Filter {
    if (this.takeWord('not')) return this.deeper(() => ({ kind: 'not', term: this.factor() }))
    if (this.takeSymbol('(')) {
      return this.deeper(() => {
        const filter = this.or()
        this.expectSymbol(')')
        return filter
      })
    }
    if (this.takeWord('exists')) {
      this.count()
      return { kind: 'exists', path: this.path() }
    }
    return this.test(this.path("a path, 'not', 'exists' or '('"))
  }

  private test(path: Path): Filter {
    const token = this.peek()
    if (token.kind === 'symbol' && COMPARISONS.has(token.text)) {
      this.next++
      return { kind: 'compare', path, comparison: token.text as Comparison, value: this.literal(token.text !== '=' && token.text !== '!=') }
    }
    if (this.takeWord('in')) return { kind: 'in', path, values: this.list() }
    if (this.takeWord('like')) return { kind: 'like', path, pattern: this.pattern() }
    return this.fail("a comparison (= != < <= > >=), 'in' or 'like'")
  }

  private list(): Literal[] {
    this.expectSymbol('(')
    const values = [this.literal(false)]
    while (this.takeSymbol(',')) values.push(this.literal(false))
    this.expectSymbol(')', "',' or ')'")
    return values
  }

  private pattern(): string {
    const token = this.peek()
    if (token.kind !== 'string') return this.fail("a text in single quotes, like 'north%'")
    this.next++
    this.count()
    // Postgres raises on a lone escape at the end; so it is no pattern here either.
    if (/(?<!\\)(\\\\)*\\$/.test(token.text)) throw new FilterError(token.position, 'a pattern cannot end with a single \\')
    if ((token.text.match(/%/g)?.length ?? 0) > FILTER_LIMITS.wildcards) {
      throw new FilterError(token.position, `a pattern has at most ${FILTER_LIMITS.wildcards} of %`)
    }
    return token.text
  }

  private literal(ordered: boolean): Literal {
    const token = this.peek()
    this.count()
    if (token.kind === 'string') {
      this.next++
      return token.text
    }
    if (token.kind === 'number') {
      this.next++
      return token.value
    }
    if (this.isWord('true') || this.isWord('false')) {
      if (ordered) return this.fail('a text or a number (true and false have no order: use = or !=)')
      return this.takeWord('true') || !this.takeWord('false')
    }
    return this.fail("a value: 'text', a number, true or false")
  }

  private path(expected = 'a path'): Path {
    const start = this.peek()
    const path = [this.segment(expected)] as unknown as Path
    if (start.kind === 'word' && !(DOCUMENT_PARTS as readonly string[]).includes(path[0])) {
      throw new FilterError(start.position, `the twin document has no part '${path[0]}'; it has ${DOCUMENT_PARTS.join(', ')}`)
    }
    while (this.takeSymbol('.')) path.push(this.segment('a name, or a "quoted name"'))
    if (path.length > FILTER_LIMITS.segments) {
      throw new FilterError(start.position, `a path has at most ${FILTER_LIMITS.segments} segments`)
    }
    // It changes by the passing of time alone, so no stored copy can answer for it.
    if (path[0] === 'telemetry' && path.length === 3 && path[2] === 'stale') {
      throw new FilterError(start.position, "'stale' is worked out on reading; compare receivedAt of the same value")
    }
    return path
  }

  private segment(expected: string): string {
    const token = this.peek()
    const first = expected !== 'a name, or a "quoted name"'
    if (token.kind === 'word' || (token.kind === 'quoted' && !first)) {
      this.next++
      return token.text
    }
    return this.fail(expected)
  }

  private deeper(parse: () => Filter): Filter {
    if (++this.depth > FILTER_LIMITS.depth) {
      throw new FilterError(this.peek().position, `a filter is at most ${FILTER_LIMITS.depth} levels deep`)
    }
    const filter = parse()
    this.depth--
    return filter
  }

  private count(): void {
    if (++this.literals > FILTER_LIMITS.literals) {
      throw new FilterError(this.peek().position, `a filter has at most ${FILTER_LIMITS.literals} values`)
    }
  }

  private peek(): Token {
    return this.tokens[this.next]!
  }

  private isWord(word: string): boolean {
    const token = this.peek()
    return token.kind === 'word' && token.text.toLowerCase() === word
  }

  private takeWord(word: string): boolean {
    if (!this.isWord(word)) return false
    this.next++
    return true
  }

  private takeSymbol(symbol: string): boolean {
    const token = this.peek()
    if (token.kind !== 'symbol' || token.text !== symbol) return false
    this.next++
    return true
  }

  private expectSymbol(symbol: string, expected = `'${symbol}'`): void {
    if (!this.takeSymbol(symbol)) this.fail(expected)
  }

  private fail(expected: string): never {
    const token = this.peek()
    const found = token.kind === 'end' ? 'the end' : `'${token.source}'`
    throw new FilterError(token.position, `expected ${expected}, found ${found}`)
  }
}
