/** Cuts a filter into tokens; each knows where it stands, for errors that a reader can use. */

interface At {
  /** Counted from 1. */
  position: number
  /** As written, shortened. */
  source: string
}
export type Token = At &
  ({ kind: 'word' | 'quoted' | 'string' | 'symbol'; text: string } | { kind: 'number'; value: number } | { kind: 'end' })

const SPACE = /[ \t\r\n]+/y
const WORD = /[A-Za-z_][A-Za-z0-9_-]*/y
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const SYMBOL = /!=|<=|>=|[=<>().,]/y
const STRING = /'((?:[^']|'')*)'/y
const QUOTED = /"((?:[^"]|"")*)"/y

export function tokensOf(text: string, failure: (position: number, detail: string) => Error): Token[] {
  const tokens: Token[] = []
  let index = 0

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = index
    return pattern.exec(text)
  }

  while (index < text.length) {
    const space = match(SPACE)
    if (space) {
      index += space[0].length
      continue
    }
    const { token, length } = tokenAt(text, index, match, failure)
    tokens.push(token)
    index += length
  }
  tokens.push({ kind: 'end', position: text.length + 1, source: '' })
  return tokens
}

function tokenAt(
  text: string,
  index: number,
  match: (pattern: RegExp) => RegExpExecArray | null,
  failure: (position: number, detail: string) => Error,
): { token: Token; length: number } {
  const position = index + 1
  const made = (found: RegExpExecArray, token: { kind: 'word' | 'quoted' | 'string' | 'symbol'; text: string }) => ({
    token: { ...token, position, source: found[0].slice(0, 24) },
    length: found[0].length,
  })

  const word = match(WORD)
  if (word) return made(word, { kind: 'word', text: word[0] })

  const number = match(NUMBER)
  if (number) {
    const value = Number(number[0])
    if (!Number.isFinite(value)) throw failure(position, `${number[0].slice(0, 24)} is too large for a number`)
    return { token: { kind: 'number', value, position, source: number[0].slice(0, 24) }, length: number[0].length }
  }

  const symbol = match(SYMBOL)
  if (symbol) return made(symbol, { kind: 'symbol', text: symbol[0] })

  const string = match(STRING)
  if (string) return made(string, { kind: 'string', text: storable(string[1]!.replaceAll("''", "'"), position, failure) })

  const quoted = match(QUOTED)
  if (quoted) return made(quoted, { kind: 'quoted', text: storable(quoted[1]!.replaceAll('""', '"'), position, failure) })

  const character = String.fromCodePoint(text.codePointAt(index)!)
  if (character === "'") throw failure(position, "this text has no closing '")
  if (character === '"') throw failure(position, 'this name has no closing "')
  throw failure(position, `expected a path, a value or an operator, found '${character}'`)
}

/** No stored text holds U+0000 or half a surrogate pair (jsonb has neither), and Postgres would raise on them. */
function storable(text: string, position: number, failure: (position: number, detail: string) => Error): string {
  if (text.includes('\u0000') || !text.isWellFormed()) throw failure(position, 'a text cannot hold U+0000 or half a surrogate pair')
  return text
}
