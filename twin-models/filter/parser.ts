/**
 * The grammar that filters and the conditions of rules share (parse.ts): recursive descent, with what differs left to each. Depth is bounded, so
 * the stack is.
 */
import { type Comparison, DOCUMENT_PARTS, FILTER_LIMITS, FilterError, type Literal, type Path, type Tree } from './language.ts'
import { type Token, tokensOf } from './tokens.ts'

const COMPARISONS: ReadonlySet<string> = new Set(['=', '!=', '<', '<=', '>', '>='])

export abstract class TreeParser<Subject, Right> {
  protected next = 0
  private readonly tokens: Token[]
  private readonly noun: string
  private depth = 0
  private literals = 0

  /** `noun`: what it is, for the reader of an error. */
  constructor(text: string, noun: string) {
    this.noun = noun
    if (text.length > FILTER_LIMITS.length) {
      throw this.failure(FILTER_LIMITS.length + 1, `a ${noun} has at most ${FILTER_LIMITS.length} characters`)
    }
    this.tokens = tokensOf(text, (position, detail) => this.failure(position, detail))
  }

  parse(): Tree<Subject, Right> {
    const tree = this.or()
    if (this.peek().kind !== 'end') this.fail("'and', 'or' or the end")
    return tree
  }

  /** What a path stands for; `start` is its first word. */
  protected abstract subject(path: Path, start: Token): Subject
  /** At a word that is followed by '('. Undefined: it is no function. */
  protected abstract call(name: Token & { text: string }): Tree<Subject, Right> | undefined
  /** What is compared with. `isOrdered`: by size. */
  protected abstract right(isOrdered: boolean): Right

  private or(): Tree<Subject, Right> {
    return this.chain('or', () => this.chain('and', () => this.factor()))
  }

  private chain(kind: 'and' | 'or', part: () => Tree<Subject, Right>): Tree<Subject, Right> {
    const first = part()
    if (!this.isWord(kind)) return first
    const terms = [first]
    while (this.takeWord(kind)) terms.push(part())
    return { kind, terms }
  }

  private factor(): Tree<Subject, Right> {
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
      const start = this.peek()
      return { kind: 'exists', path: this.subject(this.path(), start) }
    }
    const start = this.peek()
    const called = start.kind === 'word' && this.peek(1).source === '(' ? this.call(start) : undefined
    return called ?? this.test(this.subject(this.path("a path, 'not', 'exists' or '('"), start))
  }

  private test(path: Subject): Tree<Subject, Right> {
    const comparison = this.comparison()
    if (comparison) return { kind: 'compare', path, comparison, value: this.right(comparison !== '=' && comparison !== '!=') }
    if (this.takeWord('in')) return { kind: 'in', path, values: this.list() }
    if (this.takeWord('like')) return { kind: 'like', path, pattern: this.pattern() }
    return this.fail("a comparison (= != < <= > >=), 'in' or 'like'")
  }

  protected comparison(): Comparison | undefined {
    const token = this.peek()
    if (token.kind !== 'symbol' || !COMPARISONS.has(token.text)) return undefined
    this.next++
    return token.text as Comparison
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
    if (/(?<!\\)(\\\\)*\\$/.test(token.text)) throw this.failure(token.position, 'a pattern cannot end with a single \\')
    if ((token.text.match(/%/g)?.length ?? 0) > FILTER_LIMITS.wildcards) {
      throw this.failure(token.position, `a pattern has at most ${FILTER_LIMITS.wildcards} of %`)
    }
    return token.text
  }

  protected literal(ordered: boolean): Literal {
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

  protected path(expected = 'a path'): Path {
    const start = this.peek()
    const path = [this.segment(expected)] as unknown as Path
    if (start.kind === 'word' && !(DOCUMENT_PARTS as readonly string[]).includes(path[0])) {
      throw this.failure(start.position, `the twin document has no part '${path[0]}'; it has ${DOCUMENT_PARTS.join(', ')}`)
    }
    while (this.takeSymbol('.')) path.push(this.segment('a name, or a "quoted name"'))
    if (path.length > FILTER_LIMITS.segments) {
      throw this.failure(start.position, `a path has at most ${FILTER_LIMITS.segments} segments`)
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

  private deeper(parse: () => Tree<Subject, Right>): Tree<Subject, Right> {
    if (++this.depth > FILTER_LIMITS.depth) {
      throw this.failure(this.peek().position, `a ${this.noun} is at most ${FILTER_LIMITS.depth} levels deep`)
    }
    const filter = parse()
    this.depth--
    return filter
  }

  protected count(): void {
    if (++this.literals > FILTER_LIMITS.literals) {
      throw this.failure(this.peek().position, `a ${this.noun} has at most ${FILTER_LIMITS.literals} values`)
    }
  }

  /** `ahead`: so many after the next. */
  protected peek(ahead = 0): Token {
    return this.tokens[Math.min(this.next + ahead, this.tokens.length - 1)]!
  }

  private isWord(word: string): boolean {
    const token = this.peek()
    return token.kind === 'word' && token.text.toLowerCase() === word
  }

  protected takeWord(word: string): boolean {
    if (!this.isWord(word)) return false
    this.next++
    return true
  }

  protected takeSymbol(symbol: string): boolean {
    const token = this.peek()
    if (token.kind !== 'symbol' || token.text !== symbol) return false
    this.next++
    return true
  }

  protected expectSymbol(symbol: string, expected = `'${symbol}'`): void {
    if (!this.takeSymbol(symbol)) this.fail(expected)
  }

  protected fail(expected: string): never {
    const token = this.peek()
    const found = token.kind === 'end' ? 'the end' : `'${token.source}'`
    throw this.failure(token.position, `expected ${expected}, found ${found}`)
  }

  protected failure(position: number, detail: string): FilterError {
    return new FilterError(position, detail, this.noun)
  }
}
