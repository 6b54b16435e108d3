/**
 * What JSON from outside may be before anybody walks, stores or passes it on: bounded in depth, and nothing in it that JavaScript or Postgres
 * cannot keep. It itself goes no deeper than the bound.
 */

/** Deeper is a mistake or an attack. */
export const MAX_JSON_DEPTH = 32

/** Where and why it cannot be taken; undefined when it can. */
export function jsonProblem(value: unknown, path = '', depth = 0): { path: string; detail: string } | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : { path, detail: 'holds U+0000 or half a surrogate pair' }
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { path, detail: 'is a number beyond what a double can hold' }
  if (typeof value !== 'object' || value === null) return undefined
  if (depth >= MAX_JSON_DEPTH) return { path: path.slice(0, 200), detail: `is deeper than ${MAX_JSON_DEPTH} levels` }
  for (const key of Object.keys(value)) {
    const inner = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (key === '__proto__') return { path: inner, detail: 'is not allowed as a key' }
    if (!isStorable(key)) return { path, detail: 'has a key with U+0000 or half a surrogate pair' }
    const problem = jsonProblem((value as Record<string, unknown>)[key], inner, depth + 1)
    if (problem) return problem
  }
  return undefined
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\u0000')
}
