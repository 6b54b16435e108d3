/** How a simulated device downloads, from a server that breaks off, lies and goes on for ever. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Download, download } from '../../infra/simulator/firmware/download.ts'
import { sha256Of } from '../support/signed-firmware.ts'

/** What the server does with one request; after the last deed it is honest. */
interface Deed {
  /** The line breaks after so many bytes of the body. */
  cutsAfter?: number
  /** It ends in good order, but too early. No length is told. */
  endsAfter?: number
  /** It sends all, and 200, though a part was asked for. */
  ignoresRange?: boolean
  status?: number
  headers?: Record<string, string>
  /** In place of the artifact. */
  content?: Buffer
  /** Says nothing at all. */
  stalls?: boolean
  endless?: boolean
}

let server: Server
let url: string
let artifact: Buffer
let deeds: Deed[]
let requests: Array<{ range: string | undefined; ifRange: string | undefined }>

beforeAll(async () => {
  server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/device/v1/firmware`
})

afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

beforeEach(() => serve(content(100_000), []))

describe('a download', () => {
  test('that nothing disturbs is one request without a range', async () => {
    expect(await got()).toEqual({ bytes: 100_000, resumes: 0 })
    expect(requests).toEqual([{ range: undefined, ifRange: undefined }])
  })

  test('goes on where it was broken off, and asks for the rest of the same content', async () => {
    serve(artifact, [{ cutsAfter: 30_000 }])
    const { bytes, resumes, failure } = await got()
    expect([failure, bytes, resumes]).toEqual([undefined, 100_000, 1])
    expect(requests[1]).toEqual({ range: 'bytes=30000-', ifRange: `"${sha256Of(artifact)}"` })
  })

  test('whatever the server does to it, is whole in the end, and takes no byte twice but from the start', async () => {
    const size = 5_000
    const deed: fc.Arbitrary<Deed> = fc.oneof(
      fc.record({ cutsAfter: fc.nat(size) }),
      fc.record({ endsAfter: fc.nat(size) }),
      fc.record({ ignoresRange: fc.constant(true), cutsAfter: fc.nat(size) }),
      fc.record({ status: fc.constantFrom(500, 502, 503, 429, 408) }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(deed, { maxLength: 7 }),
        fc.array(fc.option(fc.integer({ min: 1, max: size }), { nil: undefined })),
        async (all, own) => {
          // Seven that bring nothing are not enough to give up.
          serve(content(size), [...all])
          const cuts = own.slice(0, 4).values()
          const { bytes, resumes, failure } = await got({ breaksAfter: () => cuts.next().value })
          expect(failure).toBeUndefined()
          const wholes = all.filter(({ ignoresRange }) => ignoresRange).length
          expect(bytes).toBeGreaterThanOrEqual(size)
          expect(bytes).toBeLessThanOrEqual(size * (1 + wholes))
          expect(resumes).toBeLessThan(requests.length)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('is whole when the line breaks right after its last byte', async () => {
    serve(content(16), [{ cutsAfter: 5 }])
    const cuts = [16, 11].values()
    expect(await got({ breaksAfter: () => cuts.next().value })).toEqual({ bytes: 16, resumes: 1 })
    expect(requests).toHaveLength(2)
  })

  test('never takes other content for the right one, however it comes', async () => {
    const size = 2_000
    await fc.assert(
      fc.asyncProperty(fc.nat(size - 1), fc.integer({ min: 1, max: 255 }), fc.nat(size - 1), async (at, flip, cutsAfter) => {
        const right = content(size)
        const wrong = Buffer.from(right)
        wrong[at]! ^= flip
        serve(right, [{ cutsAfter, content: wrong }, { content: wrong }])
        // Of the wrong one some is right, and the rest of the right one may follow.
        const { failure } = await got()
        expect(failure?.code).toBe('hash-mismatch')
        serve(right, [{ cutsAfter, content: wrong }])
        expect((await got()).failure?.code).toBe(at < cutsAfter ? 'hash-mismatch' : undefined)
      }),
      { numRuns: 50 },
    )
  })

  test.each<[what: string, Deed, code: string, most: number]>([
    ['a swapped artifact of the same size', { content: content(100_000, 9) }, 'hash-mismatch', 100_000],
    ['one that is told to be larger than the manifest says', { content: content(100_001) }, 'download-failed', 0],
    ['one that is told to be smaller', { content: content(99_999) }, 'download-failed', 0],
    ['endless data', { endless: true }, 'download-failed', 200_000],
    ['a link that has expired', { status: 403 }, 'download-failed', 0],
    ['a link that leads nowhere', { status: 404 }, 'download-failed', 0],
    ['nothing at all', { status: 204 }, 'download-failed', 0],
  ])('ends soon at %s', async (_, deed, code, most) => {
    serve(artifact, [deed])
    const { bytes, failure } = await got()
    expect(failure).toEqual({ code, message: expect.any(String) })
    expect(bytes).toBeLessThanOrEqual(most)
    expect(requests).toHaveLength(1)
  })

  test.each<[what: string, Deed]>([
    ['another part than it asked for', { status: 206, headers: { 'content-range': 'bytes 0-99999/100000' } }],
    ['a part of something larger', { status: 206, headers: { 'content-range': 'bytes 30000-99999/200000' } }],
    ['a part that goes beyond the end', { status: 206, headers: { 'content-range': 'bytes 30000-100000/100000' } }],
    ['a part that it does not name', { status: 206 }],
    ['no such part', { status: 416, headers: { 'content-range': 'bytes */20000' } }],
  ])('is given up when it goes on and gets %s', async (_, deed) => {
    serve(artifact, [{ cutsAfter: 30_000 }, deed])
    expect((await got()).failure?.code).toBe('download-failed')
    expect(requests).toHaveLength(2)
  })

  test('is given up when it breaks off at the same place again and again, with whole answers too', async () => {
    for (const ignoresRange of [false, true]) {
      serve(
        artifact,
        Array.from({ length: 100 }, (_, n) => (n === 0 ? { cutsAfter: 10 } : { cutsAfter: ignoresRange ? 10 : 0, ignoresRange })),
      )
      expect((await got()).failure?.code).toBe('download-failed')
      expect(requests.length).toBeLessThan(20)
    }
  })

  test('is given up when it comes byte by byte for ever', async () => {
    serve(
      artifact,
      Array.from({ length: 1_000 }, () => ({ endsAfter: 1 })),
    )
    expect((await got()).failure?.code).toBe('download-failed')
    expect(requests).toHaveLength(200)
  })

  test('hangs up on a line on which nothing comes, and tries another', async () => {
    serve(artifact, [{ stalls: true }])
    expect(await got({ stalledMs: 500 })).toEqual({ bytes: 100_000, resumes: 0 })
    expect(requests).toHaveLength(2)
  })

  test('waits as long as it is asked to, and does not count that as a failure', async () => {
    serve(artifact, [{ status: 429, headers: { 'retry-after': '1' } }])
    const from = performance.now()
    expect((await got()).failure).toBeUndefined()
    expect(performance.now() - from).toBeGreaterThan(950)
  })

  test('that is called off ends at once', async () => {
    serve(artifact, [{ cutsAfter: 10 }, { stalls: true }])
    const gone = new AbortController()
    const running = got({ signal: gone.signal, progress: () => setImmediate(() => gone.abort()) })
    expect((await running).failure?.code).toBe('aborted')
  })
})

function got(options: Partial<Parameters<typeof download>[0]> = {}): Promise<Download> {
  const signal = new AbortController().signal
  return download({ url, size: artifact.length, sha256: sha256Of(artifact), signal, firstPauseMs: 1, ...options })
}

function serve(content: Buffer, todo: Deed[]): void {
  artifact = content
  deeds = todo
  requests = []
}

function content(size: number, seed = 7): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * i * seed + i * 31 + (i >> 8)) & 255))
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { range, 'if-range': ifRange } = request.headers
  requests.push({ range, ifRange: ifRange as string | undefined })
  const deed = deeds.shift() ?? {}
  if (deed.stalls) return
  if (deed.endless) pour(response)
  else if (deed.status !== undefined && deed.status !== 206) response.writeHead(deed.status, deed.headers).end()
  else send(response, deed, range)
}

function send(response: ServerResponse, deed: Deed, range: string | undefined): void {
  const whole = deed.content ?? artifact
  const from = deed.ignoresRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
  const body = whole.subarray(from)
  const isPart = deed.status === 206 || (range !== undefined && !deed.ignoresRange)
  const told = deed.endsAfter === undefined ? { 'content-length': body.length } : {}
  const part = isPart ? { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` } : {}
  response.writeHead(isPart ? 206 : 200, { ...told, ...(deed.status === undefined ? part : deed.headers) })
  if (deed.cutsAfter !== undefined && deed.cutsAfter < body.length) cut(response, body.subarray(0, deed.cutsAfter))
  else response.end(body.subarray(0, deed.endsAfter))
}

/** What was written arrives; then the line breaks. */
function cut(response: ServerResponse, bytes: Buffer): void {
  response.flushHeaders()
  if (bytes.length === 0) response.destroy()
  else response.write(bytes, () => response.socket?.end(() => response.destroy()))
}

function pour(response: ServerResponse): void {
  const more = () => {
    while (!response.destroyed) if (!response.write(Buffer.alloc(16_384))) return void response.once('drain', more)
  }
  more()
}
