/** The header Range (RFC 9110, 14.2): one range of bytes. Whatever else it asks for may be answered with the whole, and is. */
import type { ByteRange } from '../firmware-ports.ts'

const ONE_RANGE = /^bytes=(\d*)-(\d*)$/i

/** Undefined: all of it. `size` is above 0. */
export function rangeOf(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const [, from = '', to = ''] = ONE_RANGE.exec(header?.trim() ?? '') ?? []
  if (from === '' && to === '') return undefined
  if (from === '') {
    // The last so many.
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return undefined
  if (first >= size) return 'unsatisfiable'
  return { first, last: to === '' ? size - 1 : Math.min(Number(to), size - 1) }
}
