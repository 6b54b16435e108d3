/**
 * The HTTP client of webhooks, and of questions to model servers: one request to a URL that a tenant chose, to a receiver that may be slow,
 * broken or hostile.
 *
 * Nothing outlives the deadline, from DNS to the last byte that is read. Redirects are not followed. Of the answer no more is read than is
 * wanted, then the connection is cut. Where a request may go is judged when its connection is made: names are resolved there, each address is checked, and the
 * connection goes to the very addresses that were checked. So a name that changes its mind in between gains nothing, and a connection that is
 * used again was checked when it was made.
 */
import { Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Attempt } from '../../twin-models/core/delivery.ts'
import { createAddressCheck, type NetworkRules } from './addresses.ts'
import { inWords, type Stage } from './outbound-errors.ts'
import { type Resolve, resolveName } from './resolve.ts'
import { createUrlCheck, explainedCheck } from './url-check.ts'

export interface OutboundOptions extends NetworkRules {
  /** Whose rules these are: several processes send, each by settings of its own. */
  process: string
  /** What is sent, in words. Absent: webhooks. */
  what?: string
  /** From DNS to the last byte. Absent: 15 s. */
  deadlineMs?: number
  /** Absent: DNS. */
  resolve?: Resolve
}

export interface OutboundRequest {
  url: string
  headers: { [name: string]: string }
  body: string
}

/** A request whose answer is wanted. */
export interface OutboundQuestion {
  method: 'GET' | 'POST'
  url: string
  headers: { [name: string]: string }
  body?: string
  /** From DNS to the last byte. */
  deadlineMs: number
  /** Of the answer; the rest is not read. */
  mostBytes: number
}

/** As an attempt, with as much of the answer as is wanted. `missing`: why some of it is not there: it is too large, or its end did not come. */
export type Answered = Attempt & { missing?: { why: 'size' | 'end'; detail: string } }

export interface Outbound {
  /** Why nothing can be sent to this URL, as far as it tells by itself. Undefined: an attempt may be made. */
  refusal(url: string): string | undefined
  /** Never rejects. An answer whose status came in time counts, even where its body did not end. */
  post(request: OutboundRequest): Promise<Attempt>
  /** Never rejects. */
  ask(question: OutboundQuestion): Promise<Answered>
  /** Ends what is under way; it counts as failed. */
  close(): void
}

const DEADLINE_MS = 15_000
/** Of an answer: what is kept, and how much is read so that the connection may be used again. */
const ANSWER_BYTES = { kept: 1_024, read: 16_384 }
const HEADER_BYTES = 16_384
/** A connection that is free for this long is closed. As many are kept as an endpoint may have requests under way. */
const AGENT = { keepAlive: true, maxFreeSockets: 100, timeout: 30_000 }
/** What only this client may set. */
const OWN_HEADERS = ['connection', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']

/** Throws when a network is not one. */
export function createOutbound({
  process,
  what,
  deadlineMs = DEADLINE_MS,
  resolve = (name, signal) => resolveName(name, signal),
  ...rules
}: OutboundOptions): Outbound {
  const urls = explainedCheck(process, createUrlCheck(rules, createAddressCheck(rules, what), what))
  const agents = { 'http:': new HttpAgent(AGENT), 'https:': new HttpsAgent(AGENT) }

  return {
    refusal: (url) => urls.refusal(url),
    async post(request) {
      const { missing: _, ...attempt } = await inTime({ method: 'POST', ...request, deadlineMs, bytes: ANSWER_BYTES })
      return attempt
    },
    ask: ({ mostBytes, ...question }) => inTime({ ...question, bytes: { kept: mostBytes, read: mostBytes + 1 } }),
    close() {
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }

  async function inTime(question: Question): Promise<Answered> {
    const startedAt = performance.now()
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), question.deadlineMs)
    const ms = () => Math.round(performance.now() - startedAt)
    try {
      const refused = urls.refusal(question.url) ?? headerRefusal(question.headers)
      return refused === undefined ? await exchange(question, deadline.signal, ms) : { ms: ms(), error: refused }
    } catch (error) {
      return { ms: ms(), error: `The request could not be made: ${(error as Error).message}` }
    } finally {
      clearTimeout(timer)
    }
  }

  function exchange(question: Question, deadline: AbortSignal, ms: () => number): Promise<Answered> {
    const { method, url, headers, body = '', deadlineMs, bytes } = question
    const target = new URL(url)
    let stage: Stage = 'connect'
    let isOver = false
    const options: RequestOptions & { autoSelectFamilyAttemptTimeout: number; rejectUnauthorized: true } = {
      method,
      agent: agents[target.protocol as keyof typeof agents],
      headers: { 'user-agent': 'Castor', ...headers, ...(method === 'POST' && { 'content-length': Buffer.byteLength(body) }) },
      maxHeaderSize: HEADER_BYTES,
      rejectUnauthorized: true,
      // One of several addresses that does not answer is given up for the next one.
      autoSelectFamilyAttemptTimeout: 1_000,
      lookup: checkedLookup(target, deadline, (now) => {
        stage = now
      }),
    }

    return new Promise((done) => {
      const call = (target.protocol === 'https:' ? httpsRequest : (httpRequest as typeof httpsRequest))(target, options)
      const giveUp = () => call.destroy()
      const end = (attempt: Answered | Promise<Answered>) => {
        deadline.removeEventListener('abort', giveUp)
        done(attempt)
      }
      const fail = (error?: Error) => {
        if (isOver) return
        isOver = true
        if (deadline.aborted) return end({ ms: ms(), error: inWords({ stage, deadlineMs }, target) })
        // A connection that its receiver closed while it was free says nothing of the receiver: another one is made.
        if (call.reusedSocket && isReset(error)) return end(exchange(question, deadline, ms))
        end({ ms: ms(), error: inWords({ error }, target) })
      }
      deadline.addEventListener('abort', giveUp)
      if (deadline.aborted) giveUp()

      call.on('socket', (socket) => {
        if (!socket.connecting) {
          stage = 'answer'
          return
        }
        socket.once('connect', () => {
          stage = target.protocol === 'https:' ? 'tls' : 'answer'
        })
        socket.once('secureConnect', () => {
          stage = 'answer'
        })
      })
      call.on('error', fail)
      call.on('close', () => fail())
      call.on('response', (answer) => {
        isOver = true
        const [at, chunks] = [ms(), [] as Buffer[]]
        let read = 0
        const missing = (): Answered['missing'] => {
          if (read > bytes.kept) return { why: 'size', detail: `The answer is larger than ${bytes.kept} bytes` }
          if (answer.complete) return undefined
          return { why: 'end', detail: inWords(deadline.aborted ? { stage, deadlineMs } : { error: undefined }, target) }
        }
        answer.on('data', (chunk: Buffer) => {
          if (read < bytes.kept) chunks.push(chunk)
          read += chunk.length
          if (read >= bytes.read) call.destroy()
        })
        answer.on('error', () => {})
        answer.on('close', () => {
          const { statusCode: status = 0, headers } = answer
          const retryAfter = headers['retry-after']
          const lacks = missing()
          const text = textOf(chunks, bytes.kept)
          end({ ms: at, status, answer: text, ...(retryAfter !== undefined && { retryAfter }), ...(lacks && { missing: lacks }) })
        })
      })
      call.end(body)
    })
  }

  /** Of the socket: its addresses are those that were checked here. One that is refused refuses the name. */
  function checkedLookup({ hostname, port }: URL, deadline: AbortSignal, isAt: (stage: Stage) => void): LookupFunction {
    return (_name, { all }, callback) => {
      isAt('resolve')
      const checked = async () => {
        const list = await resolve(hostname, deadline)
        const refused = list.map((address) => urls.addressRefusal(address, port)).find((refusal) => refusal !== undefined)
        if (refused !== undefined) throw new Error(`${hostname} is not sent to: ${refused}`)
        if (list.length === 0) throw new Error(`${hostname} has no address`)
        return list.map((address) => ({ address, family: isIP(address) }))
      }
      checked().then(
        (list) => {
          isAt('connect')
          if (all) callback(null, list)
          else callback(null, list[0]!.address, list[0]!.family)
        },
        (error) => callback(error, []),
      )
    }
  }
}

/** `bytes`: how much of the answer is kept, and how much is read so that the connection may be used again. */
interface Question extends Omit<OutboundQuestion, 'mostBytes'> {
  bytes: { kept: number; read: number }
}

function headerRefusal(headers: OutboundRequest['headers']): string | undefined {
  const own = Object.keys(headers).find((name) => OWN_HEADERS.includes(name.toLowerCase()))
  return own === undefined ? undefined : `The header "${own}" is Castor’s own: take it out of the webhook’s headers`
}

function isReset(error: Error | undefined): boolean {
  return error === undefined || ['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')
}

/** As Postgres can hold it. A character that was cut in two is left out. */
function textOf(chunks: Buffer[], kept: number): string {
  const bytes = Buffer.concat(chunks).subarray(0, kept)
  return new TextDecoder().decode(bytes, { stream: true }).replaceAll('\0', '\uFFFD')
}
