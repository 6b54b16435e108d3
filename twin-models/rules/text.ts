/**
 * What an alarm is to say: words, and in braces paths whose values go there, `Vibration is {telemetry.vibration.value} mm/s`. `{{` and `}}` are
 * braces. Besides what a rule may read (readable.ts) these are `id`, `model`, `modelVersion` and attributes.
 */
import { FilterError, type Path } from '../filter/language.ts'
import { tokensOf } from '../filter/tokens.ts'
import { RULE_LIMITS } from './language.ts'
import { readableAt } from './readable.ts'

export type TextPart = string | { at: number; path: Path }

const OF_DEVICE: ReadonlySet<string> = new Set(['id', 'model', 'modelVersion'])

/** Throws a FilterError with the place of what is wrong. */
export function parseText(text: string): TextPart[] {
  const parts: TextPart[] = []
  let words = ''
  let paths = 0
  for (let index = 0; index < text.length; ) {
    const two = text.slice(index, index + 2)
    const character = text[index]!
    if (two === '{{' || two === '}}') {
      words += character
      index += 2
    } else if (character === '}') throw failure(index + 1, 'this } closes nothing; the character itself is written }}')
    else if (character !== '{') {
      words += character
      index++
    } else {
      const end = text.indexOf('}', index)
      if (end < 0) throw failure(index + 1, 'this { has no closing }; the character itself is written {{')
      if (++paths > RULE_LIMITS.textPaths) throw failure(index + 1, `a text has at most ${RULE_LIMITS.textPaths} paths`)
      if (words !== '') parts.push(words)
      words = ''
      parts.push({ at: index + 2, path: pathOf(text.slice(index + 1, end), index + 1) })
      index = end + 1
    }
  }
  return words === '' ? parts : [...parts, words]
}

/** `before`: so many characters stand before it. */
function pathOf(text: string, before: number): Path {
  const tokens = tokensOf(text, (position, detail) => failure(before + position, detail))
  const segments: string[] = []
  for (const [i, token] of tokens.entries()) {
    const isSegment = i % 2 === 0 && (token.kind === 'word' || (token.kind === 'quoted' && i > 0))
    const isDot = i % 2 === 1 && token.kind === 'symbol' && token.text === '.'
    if (isSegment) segments.push(token.text)
    else if (token.kind === 'end' && i % 2 === 1) break
    else if (!isDot) throw failure(before + token.position, 'expected a path here, like {telemetry.temperature.value}')
  }
  const path = segments as unknown as Path
  const problem = problemOf(path)
  if (problem !== undefined) throw failure(before + 1, problem)
  return path
}

function problemOf(path: Path): string | undefined {
  if (OF_DEVICE.has(path[0])) return path.length === 1 ? undefined : `'${path[0]}' has no parts`
  if (path[0] === 'attributes') return path.length > 1 ? undefined : 'expected attributes.NAME'
  const readable = readableAt(path)
  return typeof readable === 'string' ? readable : undefined
}

function failure(position: number, detail: string): FilterError {
  return new FilterError(position, detail, 'text')
}
