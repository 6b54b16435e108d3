/** A receiver of webhooks over HTTP: keeps what came, answers as told, and comes back on the port that it had. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { until } from './wait.ts'

export interface Received {
  /** Of the event. */
  id: string
  path: string
  headers: IncomingHttpHeaders
  body: string
  // biome-ignore lint/suspicious/noExplicitAny: every use is an assertion
  json: any
  /** performance.now() */
  at: number
}

export interface Answer {
  status: number
  headers?: Record<string, string>
  body?: string
}

export class WebhookReceiver {
  readonly received: Received[] = []
  /** Requests that wait for their answer, and the most that ever did. */
  open = 0
  mostOpen = 0
  /** A promise that never ends is a receiver that never answers. */
  answer: (request: Received) => Answer | Promise<Answer> = () => ({ status: 204 })
  #server: Server | undefined
  #port = 0

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver()
    await receiver.begin()
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`
  }

  /** Also again, after `stop`. */
  async begin(): Promise<void> {
    this.#server = createServer(async (request, response) => {
      this.open++
      this.mostOpen = Math.max(this.mostOpen, this.open)
      response.once('close', () => this.open--)
      const chunks: Buffer[] = []
      try {
        for await (const chunk of request) chunks.push(chunk)
      } catch {
        return
      }
      const body = Buffer.concat(chunks).toString()
      const { url: path = '/', headers } = request
      const received = { id: String(headers['webhook-id']), path, headers, body, json: JSON.parse(body), at: performance.now() }
      this.received.push(received)
      const { status, headers: more = {}, body: text = '' } = await this.answer(received)
      response.writeHead(status, more).end(text)
    })
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Cuts what is under way. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  /** Waits for so many. */
  gets(count: number): Promise<Received[]> {
    return until(() => (this.received.length >= count ? this.received : undefined), `${count} messages arrive`)
  }

  /** As a new one. */
  clear(): void {
    this.received.length = 0
    this.mostOpen = 0
    this.answer = () => ({ status: 204 })
  }

  ids(): string[] {
    return this.received.map(({ id }) => id)
  }
}
