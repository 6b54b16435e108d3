/** Attributes of a device: their bounds. */
import { isDeeper } from '../../twin-models/core/plain.ts'
import type { Value } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'

const MAX_ATTRIBUTE_BYTES = 64 * 1024
const MAX_DEPTH = 16

/** Gives the JSON to store. */
export function checkAttributes(attributes: unknown): string {
  const text = JSON.stringify(attributes)
  if (Buffer.byteLength(text) > MAX_ATTRIBUTE_BYTES) throw refused('too-large', `are larger than ${MAX_ATTRIBUTE_BYTES} bytes of JSON`)
  if (isDeeper(attributes as Value, MAX_DEPTH)) throw refused('invalid', `are deeper than ${MAX_DEPTH} levels`)
  return text
}

function refused(code: 'too-large' | 'invalid', detail: string): CastorError {
  return new CastorError(code, `The attributes ${detail}.`, { errors: [{ path: '/attributes', detail }] })
}
