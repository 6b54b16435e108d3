/** Attributes of a device: their bounds, and RFC 7396. */
import { CastorError } from '../../twin-models/errors.ts'

const MAX_ATTRIBUTE_BYTES = 64 * 1024
const MAX_DEPTH = 16

type Json = { [key: string]: unknown }

/** Gives the JSON to store. */
export function checkAttributes(attributes: unknown): string {
  const text = JSON.stringify(attributes)
  if (Buffer.byteLength(text) > MAX_ATTRIBUTE_BYTES) throw refused('too-large', `are larger than ${MAX_ATTRIBUTE_BYTES} bytes of JSON`)
  if (isDeeper(attributes, MAX_DEPTH)) throw refused('invalid', `are deeper than ${MAX_DEPTH} levels`)
  return text
}

function refused(code: 'too-large' | 'invalid', detail: string): CastorError {
  return new CastorError(code, `The attributes ${detail}.`, { errors: [{ path: '/attributes', detail }] })
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}

/** RFC 7396, section 2. Neither argument is changed. Keys `__proto__` were refused on the way in. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: Json = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
