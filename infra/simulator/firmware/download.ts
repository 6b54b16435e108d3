/**
 * Fetches an artifact as a small device does: piece by piece, going on where the line broke, never more than the manifest says, and believing
 * only the hash. Nothing is kept of it here but the hash.
 *
 *   GET, Range: bytes={have}- ──► 206 from there, or 200 from the start ──► broken? again, after a while ──► all of it: is it that?
 */
import { createHash } from 'node:crypto'

export interface DownloadOptions {
  url: string
  /** Of the signed manifest. */
  size: number
  sha256: string
  signal: AbortSignal
  /** In bytes; after each piece. */
  progress?(have: number): void
  /** The line breaks after so many bytes; undefined: it holds. Asked for each request. */
  breaksAfter?(): number | undefined
  /** Between two requests: waits up to so long after the first that brought nothing, then twice as long, and so on. */
  firstPauseMs?: number
  /** A line on which nothing comes for so long is given up. */
  stalledMs?: number
}

export interface Download {
  /** Absent: it is all here, and it is what the manifest says. */
  failure?: { code: 'download-failed' | 'hash-mismatch' | 'aborted'; message: string }
  /** That came over the line. */
  bytes: number
  /** How often it went on where it was. */
  resumes: number
}

/** A server that sends a byte and breaks, again and again, comes to an end too. */
const MOST_REQUESTS = 200
const MOST_FRUITLESS = 8
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
const LONGEST_ASKED_PAUSE_MS = 60_000
const STALLED_MS = 30_000

/** What is here of the artifact. */
interface Piece {
  have: number
  hash: ReturnType<typeof createHash>
}

/** It cannot get better by asking again. */
class Hopeless extends Error {}
class AskedToWait extends Error {
  readonly ms: number
  constructor(ms: number) {
    super('asked to wait')
    this.ms = ms
  }
}

export async function download(options: DownloadOptions): Promise<Download> {
  const { size, sha256, signal, firstPauseMs = FIRST_PAUSE_MS } = options
  const piece: Piece = { have: 0, hash: createHash('sha256') }
  const found: Download = { bytes: 0, resumes: 0 }
  let fruitless = 0
  let best = 0
  let last = ''
  for (let request = 0; request < MOST_REQUESTS && fruitless < MOST_FRUITLESS; request += 1) {
    let pauseMs = 0
    try {
      await fetchSome(options, piece, found)
      last = `it ended after ${piece.have} of ${size} bytes`
    } catch (error) {
      if (error instanceof Hopeless) return failed('download-failed', error.message)
      if (error instanceof AskedToWait) pauseMs = error.ms
      last = messageOf(error)
    }
    // Also when the line broke right after the last byte.
    if (piece.have === size) return piece.hash.digest('hex') === sha256 ? found : failed('hash-mismatch', 'The content is another one.')
    if (signal.aborted) return failed('aborted', 'It was called off.')
    // A line that breaks each time at the same place brings nothing, however much comes over it.
    if (piece.have > best) fruitless = 0
    else if (pauseMs === 0) fruitless += 1
    best = Math.max(best, piece.have)
    pauseMs ||= Math.random() * Math.min(LONGEST_PAUSE_MS, firstPauseMs * 2 ** fruitless)
    await pause(pauseMs, signal)
  }
  return failed('download-failed', `It did not come in many requests; the last: ${last}`)

  function failed(code: NonNullable<Download['failure']>['code'], message: string): Download {
    return { ...found, failure: { code, message } }
  }
}

/** One request, as far as it gets. */
async function fetchSome(options: DownloadOptions, piece: Piece, found: Download): Promise<void> {
  const { url, size, sha256, signal, stalledMs = STALLED_MS } = options
  const gone = new AbortController()
  const hangUp = (why: string) => gone.abort(new Error(why))
  let stalled = setTimeout(hangUp, stalledMs, 'nothing came')
  const goesOn = piece.have > 0
  const limit = options.breaksAfter?.() ?? Number.POSITIVE_INFINITY
  let came = 0
  try {
    const response = await fetch(url, {
      headers: { 'accept-encoding': 'identity', ...(goesOn && { range: `bytes=${piece.have}-`, 'if-range': `"${sha256}"` }) },
      signal: AbortSignal.any([signal, gone.signal]),
    })
    if (startOf(response, piece.have, size) === 0) restart(piece)
    if (piece.have > 0) found.resumes += 1
    for await (const chunk of response.body ?? []) {
      clearTimeout(stalled)
      stalled = setTimeout(hangUp, stalledMs, 'nothing more came')
      const bytes = chunk.subarray(0, limit - came)
      came += bytes.length
      found.bytes += bytes.length
      if (piece.have + bytes.length > size) throw new Hopeless(`More came than the ${size} bytes of the manifest.`)
      piece.hash.update(bytes)
      piece.have += bytes.length
      options.progress?.(piece.have)
      if (came >= limit) throw new Error('the line broke')
    }
  } finally {
    clearTimeout(stalled)
    // What still comes is not wanted.
    hangUp('done')
  }
}

/** Where what it sends begins: at 0, or where we are. Throws when it sends nothing that is of use. */
function startOf(response: Response, have: number, size: number): number {
  const { status, headers } = response
  if (status === 429 || status === 503) {
    const asked = Number(headers.get('retry-after')) * 1000
    if (asked > 0) throw new AskedToWait(Math.min(asked, LONGEST_ASKED_PAUSE_MS))
  }
  if (status === 408 || status === 429 || status >= 500) throw new Error(`status ${status}`)
  if (status === 200) {
    const length = headers.get('content-length')
    if (length !== null && Number(length) !== size) throw new Hopeless(`${length} bytes are offered; the manifest says ${size}.`)
    return 0
  }
  if (status !== 206) throw new Hopeless(`The server answers with status ${status}.`)
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '')
  const [, from, to, total] = range ?? []
  const isOurs = range && Number(from) === have && Number(to) < size && (total === '*' || Number(total) === size)
  if (!isOurs) throw new Hopeless(`The server sends another part (${headers.get('content-range')}) than bytes ${have}- of ${size}.`)
  return have
}

function restart(piece: Piece): void {
  piece.have = 0
  piece.hash = createHash('sha256')
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}

/** fetch says what went wrong in the cause. */
function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? cause.message : message
}
