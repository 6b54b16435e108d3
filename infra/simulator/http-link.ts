/** A device without a connection: each message is a request. It counts as up until a request finds nobody there. */
import type { Down, Link, LinkEvents, LinkOptions } from './link.ts'
import { type Outgoing, pathOf, payloadOf } from './message.ts'

const REQUEST_TIMEOUT_MS = 15_000

export function openHttpLink(options: LinkOptions, events: LinkEvents): Link {
  const gone = new AbortController()
  const down = (why: Down) => {
    if (gone.signal.aborted) return
    gone.abort()
    events.down(why)
  }
  setImmediate(() => {
    if (!gone.signal.aborted) events.up()
  })

  return {
    send(message) {
      post(options, message, gone.signal).then(
        (response) => {
          if (gone.signal.aborted) return
          if (response.ok) events.acknowledged(message)
          else if (response.status === 401 || response.status === 403) down({ reason: `status ${response.status}`, credential: true })
          else if (response.status === 429 || response.status >= 500) down({ reason: `status ${response.status}`, ...retryAfter(response) })
          else events.refused(message, `status ${response.status}`)
        },
        (error) => down({ reason: error instanceof Error ? error.message : String(error) }),
      )
    },
    async end() {
      gone.abort()
    },
    cut() {
      down({ reason: 'cut' })
    },
  }
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
