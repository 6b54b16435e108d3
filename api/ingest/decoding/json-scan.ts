/**
 * What JSON.parse does not tell: where a text breaks, and which names stand twice. Only what is already known to be wrong, or nearly so,
 * is scanned: it takes some ten times as long as parsing.
 */
import type { Value } from '../../../twin-models/core/types.ts'
import type { Reason } from '../reasons.ts'
import { pointer, shown } from './draft.ts'

const MAX_DUPLICATES = 11
/** Beyond it nesting is refused anyway. */
const COUNTED_DEPTH = 40

/**
 * False when no object in the text has a name twice. Each member has one colon in the text outside of strings, so more colons than members
 * mean that parsing dropped some. (An escaped colon also shows as a difference, and is cleared by the scan.)
 */
export function mayHaveDuplicates(text: string, json: Value): boolean {
  let colons = 0
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) colons++
  return colons !== colonsOf(json, 0)
}

function colonsOf(value: Value, depth: number): number {
  if (typeof value === 'string') return colonsIn(value)
  if (typeof value !== 'object' || value === null) return 0
  if (depth > COUNTED_DEPTH) return Number.NaN
  let colons = 0
  if (Array.isArray(value)) {
    for (const item of value) colons += colonsOf(item, depth + 1)
    return colons
  }
  for (const key in value) {
    const member = value[key] as Value
    colons += 1 + colonsIn(key)
    if (typeof member === 'string' || typeof member === 'object') colons += colonsOf(member, depth + 1)
  }
  return colons
}

function colonsIn(text: string): number {
  let colons = 0
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) colons++
  return colons
}

/** Of a text that is valid JSON: pointers to the members whose name stood before in the same object. */
export function duplicateNames(text: string): string[] {
  return scan(text).duplicates
}

/** Of a text that JSON.parse refuses. */
export function brokenJson(text: string): { reason: Reason; detail: string } {
  if (text.trim() === '') return { reason: 'invalid-json', detail: 'the payload is empty' }
  const { brokenAt } = scan(text)
  const rest = text.slice(brokenAt)
  const number = /^[+-]?(NaN|Infinity)\b/i.exec(rest)?.[0]
  if (number !== undefined) return { reason: 'not-finite', detail: `${number} at position ${brokenAt} is no JSON: leave the value out` }
  const found = rest === '' ? 'the text ends too early' : `unexpected ${JSON.stringify(shown(String.fromCodePoint(rest.codePointAt(0)!)))}`
  return { reason: 'invalid-json', detail: `${found} at position ${brokenAt}` }
}

/** An open object or array. */
interface Frame {
  /** Null for an array. */
  names: Set<string> | null
  /** Of the member that is being read. */
  step: string | number
}

const SPACE = /[ \t\n\r]*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** The grammar of RFC 8259, without recursion: the depth is whatever a device sends. `brokenAt` is text.length when it ends too early. */
function scan(text: string): { brokenAt: number; duplicates: string[] } {
  const frames: Frame[] = []
  const duplicates: string[] = []
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match === null) return undefined
    at += match[0].length
    return match[0]
  }
  /** Reads `"name":` of the innermost object. */
  const name = (frame: Frame): boolean => {
    take(SPACE)
    const quoted = take(STRING)
    if (quoted === undefined) return false
    take(SPACE)
    if (text[at] !== ':') return false
    at++
    frame.step = JSON.parse(quoted) as string
    if (frame.names!.has(frame.step) && duplicates.length < MAX_DUPLICATES)
      duplicates.push(frames.map(({ step }) => pointer(step)).join(''))
    frame.names!.add(frame.step)
    return true
  }
  for (;;) {
    take(SPACE)
    const opens = text[at]
    if (opens === '{' || opens === '[') {
      at++
      const frame: Frame = { names: opens === '{' ? new Set() : null, step: 0 }
      frames.push(frame)
      take(SPACE)
      const empty = text[at] === (opens === '{' ? '}' : ']')
      if (!empty) {
        if (opens === '{' && !name(frame)) break
        continue
      }
    } else if (take(STRING) === undefined && take(SCALAR) === undefined) break
    // After a value: close what ends here, go on behind a comma.
    let more = false
    while (frames.length > 0 && !more) {
      take(SPACE)
      const frame = frames[frames.length - 1] as Frame
      if (text[at] === ',') more = true
      else if (text[at] === (frame.names === null ? ']' : '}')) frames.pop()
      else return { brokenAt: at, duplicates }
      at++
      if (!more) continue
      if (frame.names === null) frame.step = (frame.step as number) + 1
      else if (!name(frame)) return { brokenAt: at, duplicates }
    }
    if (!more) {
      take(SPACE)
      break
    }
  }
  return { brokenAt: at, duplicates }
}
