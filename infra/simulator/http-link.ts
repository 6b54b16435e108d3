/**
 * A device without a connection: each message is a request, and what is asked of it is fetched. It counts as up until a request finds
 * nobody there.
 */
import { askedIn } from './asked.ts'
import type { Down, Link, LinkEvents, LinkOptions } from './link.ts'
import { type Outgoing, pathOf, payloadOf } from './message.ts'

const REQUEST_TIMEOUT_MS = 15_000
/** Between two questions, where the first was answered at once. */
const PAUSE_MS = 1_000

export function openHttpLink(options: LinkOptions, events: LinkEvents): Link {
  const gone = new AbortController()
  const down = (why: Down) => {
    if (gone.signal.aborted) return
    gone.abort()
    events.down(why)
  }
  const failed = (error: unknown) => down({ reason: error instanceof Error ? error.message : String(error) })
  setImmediate(() => {
    if (gone.signal.aborted) return
    events.up()
    fetchPending(options, events, gone.signal).then((why) => why && down(why), failed)
  })

  return {
    send(message) {
      post(options, message, gone.signal).then((response) => {
        if (gone.signal.aborted) return
        const why = downOf(response)
        if (response.ok) events.acknowledged(message)
        else if (why) down(why)
        else events.refused(message, `status ${response.status}`)
      }, failed)
    },
    async end() {
      gone.abort()
    },
    cut() {
      down({ reason: 'cut' })
    },
  }
}

/** Until the link is gone, or there is a reason to take it down. */
async function fetchPending(options: LinkOptions, events: LinkEvents, gone: AbortSignal): Promise<Down | undefined> {
  let etag: string | null = null
  while (!gone.aborted) {
    const askedAt = Date.now()
    const response: Response = await fetch(`${options.url}/device/v1/pending?wait=${options.waitSeconds}`, {
      headers: { authorization: `Bearer ${options.token}`, ...(etag !== null && { 'if-none-match': etag }) },
      signal: AbortSignal.any([gone, AbortSignal.timeout(options.waitSeconds * 1000 + REQUEST_TIMEOUT_MS)]),
    })
    const body = await response.text()
    if (gone.aborted) return undefined
    const why = downOf(response)
    if (why) return why
    etag = response.headers.get('etag') ?? etag
    if (response.ok) for (const asked of askedIn(body)) events.asked(asked)
    await pause(Math.max(0, PAUSE_MS - (Date.now() - askedAt)), gone)
  }
  return undefined
}

/** Undefined: the link is well, whatever became of the request. */
function downOf(response: Response): Down | undefined {
  const { status } = response
  const reason = `status ${status}`
  if (status === 401 || status === 403) return { reason, credential: true }
  return status === 429 || status >= 500 ? { reason, ...retryAfter(response) } : undefined
}

function pause(ms: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms)
    gone.addEventListener('abort', end)
    function end() {
      clearTimeout(timer)
      gone.removeEventListener('abort', end)
      resolve()
    }
  })
}

async function post(options: LinkOptions, message: Outgoing, gone: AbortSignal): Promise<Response> {
  const response = await fetch(`${options.url}/device/v1/${pathOf(message)}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${options.token}`,
      'content-type': 'application/json',
      ...(message.id !== undefined && { 'message-id': message.id }),
    },
    body: new Uint8Array(payloadOf(message)),
    signal: AbortSignal.any([gone, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
  })
  // The body is read even if nobody wants it, else the connection cannot be used again.
  await response.arrayBuffer()
  return response
}

function retryAfter(response: Response): { retryAfterMs?: number } {
  const seconds = Number(response.headers.get('retry-after'))
  return Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}
}
