/**
 * Takes in multipart/form-data as it comes, part by part, in the order in which it was sent: nothing is kept but what the network has just
 * brought. Whoever reads a part slowly makes the client wait.
 *
 * What is not read any more (it was refused) is left to the server, which closes the connection after a while: to end it here would take the
 * answer away from the client.
 */
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { CastorError } from '../../twin-models/errors.ts'

export interface Part {
  name: string
  content: AsyncIterable<Uint8Array>
}

export interface MultipartLimits {
  parts: number
  /** Of the whole body. */
  bytes: number
  /** Nothing came for so long: it is given up. */
  stallMs: number
}

/** Each is read to its end, or left, before the next is asked for. */
export async function* readParts(request: Request, limits: MultipartLimits): AsyncGenerator<Part> {
  const stopped = new AbortController()
  const streams: Readable[] = []
  const arrived: Array<{ name: string; stream: Readable }> = []
  let failure: CastorError | undefined
  let isDone = false
  let news = Promise.withResolvers<void>()

  const fail = (error: CastorError) => {
    failure ??= error
    for (const stream of streams) stream.destroy(failure)
    news.resolve()
  }
  const parser = parserOf(request, limits)
  parser.on('file', (name: string | undefined, stream) => {
    // It fails with all the rest, and nobody may be reading it yet.
    stream.on('error', () => {})
    streams.push(stream)
    arrived.push({ name: name ?? '', stream })
    news.resolve()
  })
  parser.on('partsLimit', () => fail(invalid(`it has more than ${limits.parts} parts`)))
  parser.on('error', () => fail(invalid('it ends too early, or its parts are not what its boundary says')))
  parser.on('finish', () => {
    isDone = true
    news.resolve()
  })
  feed(request, parser, limits, stopped.signal).catch((error: unknown) => {
    if (!stopped.signal.aborted) fail(error instanceof CastorError ? error : invalid('the connection was lost before its end'))
  })

  try {
    while (true) {
      for (let part = arrived.shift(); part; part = arrived.shift()) {
        yield { name: part.name, content: contentOf(part.stream) }
        part.stream.resume()
      }
      if (failure) throw failure
      if (isDone) return
      await news.promise
      news = Promise.withResolvers()
    }
  } finally {
    stopped.abort()
  }
}

/** Whatever it is that it fails with, it is the sender's affair. */
async function* contentOf(stream: Readable): AsyncGenerator<Uint8Array> {
  try {
    yield* stream
  } catch (error) {
    throw error instanceof CastorError ? error : invalid('it ends in the midst of a part', error)
  }
}

/** A small part as text. */
export async function textOf({ name, content }: Part, mostBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of content) {
    size += chunk.length
    if (size > mostBytes) throw new CastorError('too-large', `The part ${name} is larger than ${mostBytes} bytes.`)
    chunks.push(chunk)
  }
  const text = utf8Of(Buffer.concat(chunks), name)
  // Postgres cannot keep it.
  if (text.includes('\0')) throw new CastorError('invalid', `The part ${name} holds U+0000.`)
  return text
}

function utf8Of(bytes: Uint8Array, part: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CastorError('invalid', `The part ${part} is not valid UTF-8.`, { cause: error })
  }
}

function parserOf(request: Request, { parts }: MultipartLimits): BusboyInstance {
  const type = request.headers.get('content-type') ?? ''
  if (!/^multipart\/form-data\s*;/i.test(type)) {
    const found = type === '' ? 'none' : `'${type.slice(0, 100)}'`
    throw new CastorError('unsupported-media-type', `The content type must be multipart/form-data, with a boundary; it is ${found}.`)
  }
  try {
    // Every part is a stream, whatever its headers say.
    return new Busboy({ headers: { 'content-type': type }, isPartAFile: () => true, limits: { parts, headerPairs: 20, headerSize: 4_096 } })
  } catch (error) {
    throw invalid('its content type has no boundary', error)
  }
}

/** As fast as its parts are read. */
async function feed(request: Request, parser: BusboyInstance, { bytes, stallMs }: MultipartLimits, stopped: AbortSignal): Promise<void> {
  if (!request.body) throw invalid('it is empty')
  const reader = request.body.getReader()
  let size = 0
  while (!stopped.aborted) {
    const { done, value } = await inTime(reader.read(), stallMs)
    if (stopped.aborted) return
    if (done) {
      parser.end()
      return
    }
    size += value.length
    if (size > bytes) throw new CastorError('too-large', `The body is larger than ${bytes} bytes.`)
    if (!parser.write(value)) await once(parser, 'drain', { signal: stopped })
  }
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(invalid(`nothing came for ${ms / 1000} s`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

function invalid(why: string, cause?: unknown): CastorError {
  return new CastorError('invalid', `The body is not whole multipart/form-data: ${why}. Send it again.`, { cause })
}
