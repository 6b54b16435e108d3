/**
 * The filter language: one meaning for search, streams, webhooks, bulk, rollouts and the conditions of rules (docs/architecture.md §3.14).
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
 *
 * Conditions of rules have two things more, which are an error everywhere else (twin-models/rules/parse.ts): functions of readings, and
 * attributes on the right side.
 */
import { DOCUMENT_PARTS, type Filter, FUNCTIONS, type Literal, type Path } from './language.ts'
import { TreeParser } from './parser.ts'
import type { Token } from './tokens.ts'

export * from './language.ts'

export function parseFilter(text: string): Filter {
  return new FilterParser(text, 'filter').parse()
}

export class FilterParser extends TreeParser<Path, Literal> {
  protected override subject(path: Path, { position }: Token): Path {
    // It changes by the passing of time alone, so no stored copy can answer for it.
    if (path[0] === 'telemetry' && path.length === 3 && path[2] === 'stale')
      throw this.failure(position, "'stale' is worked out on reading; compare receivedAt of the same value")
    return path
  }

  protected override call({ text, position }: Token & { text: string }): undefined {
    if ((FUNCTIONS as readonly string[]).includes(text.toLowerCase()))
      throw this.failure(position, `${text}(…) is a function of readings, which only conditions of rules have`)
  }

  protected override right(isOrdered: boolean): Literal {
    const { kind, position, source } = this.peek()
    if (kind === 'word' && this.peek(1).source === '.' && (DOCUMENT_PARTS as readonly string[]).includes(source))
      throw this.failure(
        position,
        `expected a value: 'text', a number, true or false; only conditions of rules compare with a path, ${source}…`,
      )
    return this.literal(isOrdered)
  }
}
