/**
 * Reads a JSON body within bounds: content type, size while it comes in, UTF-8, depth, and values that JavaScript or Postgres cannot
 * keep. What passes is plain JSON that can be stored and given back as it was.
 */
import { CastorError } from '../../twin-models/errors.ts'
import { jsonProblem } from '../../twin-models/json-problem.ts'

export interface BodyRules {
  /** Media types without parameters. */
  types: string[]
  maxBytes: number
  /** None is `{}`. */
  optional?: boolean
}

export async function readJson(request: Request, contentType: string | undefined, rules: BodyRules): Promise<unknown> {
  checkContentType(contentType, rules.types)
  const text = await readText(request, rules.maxBytes)
  if (text === '' && rules.optional) return {}
  if (text === '') throw new CastorError('invalid', 'The request needs a JSON body.', { errors: [{ path: '', detail: 'is empty' }] })
  return jsonOf(text, 'The body')
}

/** `what` it is, for whoever sent it. */
export function jsonOf(text: string, what: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CastorError('invalid', `${what} is not JSON: ${(error as Error).message}`)
  }
  const problem = jsonProblem(value)
  if (problem)
    throw new CastorError('invalid', `${what} cannot be taken: ${problem.path || 'it'} ${problem.detail}.`, { errors: [problem] })
  return value
}

export function checkContentType(contentType: string | undefined, types: string[]): void {
  const [type, ...parameters] = (contentType ?? '').toLowerCase().split(';')
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith('charset='))
  const isUtf8 = charset === undefined || /^charset="?utf-8"?$/.test(charset)
  if (types.includes(type!.trim()) && isUtf8) return
  const found = contentType === undefined ? 'none' : `'${contentType.slice(0, 100)}'`
  throw new CastorError('unsupported-media-type', `The content type must be ${types.join(' or ')}, in UTF-8; it is ${found}.`)
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  const bytes = await readBytes(request, maxBytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CastorError('invalid', 'The body is not valid UTF-8.', { cause: error })
  }
}

/** The length that a client announces cannot be exceeded; without one, what comes is counted. */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () => new CastorError('too-large', `The body is larger than ${maxBytes} bytes.`)
  const announced = request.headers.get('content-length')
  if (announced !== null) {
    if (Number(announced) > maxBytes) throw tooLarge()
    return new Uint8Array(await request.arrayBuffer())
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
