/** The live stream over HTTP, on a database of its own: an api that can be restarted, a bridge's writer, decisions as rows, and readers. */
import { once } from 'node:events'
import http, { type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { pino } from 'pino'
import type { Message } from '../../api/ingest/log.ts'
import { type GroupCommitWriter, openWriter } from '../../api/ingest/writer.ts'
import { LiveStreams } from '../../api/live/live.ts'
import type { LiveLimits } from '../../api/live/live-request.ts'
import { postgresIngestLog } from '../../infra/postgres/ingest-log.ts'
import { postgresLiveStore } from '../../infra/postgres/live-log.ts'
import { type Sequencer, startSequencer } from '../../infra/postgres/outbox.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { until } from '../support/wait.ts'
import { DEMO_KEY, type TestApi, testApi } from './test-api.ts'

const log = pino({ level: 'silent' })

/** One api process. */
export interface RunningApi {
  live: LiveStreams
  url: string
  stop(): Promise<void>
}

export class LiveApi {
  readonly first: TestApi
  readonly sequencer: Sequencer
  writer!: GroupCommitWriter
  running!: RunningApi

  private constructor(first: TestApi) {
    this.first = first
    this.sequencer = startSequencer({ sql: first.database.sql, log })
  }

  static async start(limits: Partial<LiveLimits> = {}): Promise<LiveApi> {
    const made = new LiveApi(await testApi())
    await made.openBridge()
    made.running = await made.runApi(limits)
    return made
  }

  get sql() {
    return this.first.database.sql
  }

  async openBridge(): Promise<void> {
    const store = postgresIngestLog({ url: this.first.database.url, bridge: 'test' })
    this.writer = await openWriter({ store, log, heartbeatMs: 200 })
  }

  /** Another process over the same database. */
  async runApi(limits: Partial<LiveLimits> = {}): Promise<RunningApi> {
    const models = { find: (name: string) => modelOf(name), list: listModels }
    const live = new LiveStreams({ store: postgresLiveStore(this.sql), models, log, limits })
    const app = this.first.with({ live })
    const server = createAdaptorServer({ fetch: app.fetch }) as Server
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return {
      live,
      url,
      stop: async () => {
        await live.stop()
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  /** As the decision write does. */
  async decide(incarnation: number, events: Array<{ kind: string; [member: string]: unknown }>, revision = 1): Promise<void> {
    const { sql } = this
    const texts = events.map(({ kind: _kind, ...event }) => JSON.stringify({ at: Date.now(), ...event }))
    await sql`
      insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
      select now(), tenant, incarnation, device, ${revision}, kind, event, '{"by":"timer"}'
      from devices, unnest(${events.map(({ kind }) => kind)}::text[], ${texts}::text[]) with ordinality as e (kind, event, n)
      where incarnation = ${incarnation} order by n`
  }

  /** A device says something; resolves when it is in the log. */
  say(incarnation: number, payload: unknown, more: Partial<Message> = {}): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(payload))
    return this.writer.append({ incarnation, kind: 'telemetry', receivedAt: Date.now(), payload: bytes, size: bytes.length, ...more })
  }

  async stop(): Promise<void> {
    await this.running.stop()
    await this.writer.close()
    await this.sequencer.stop()
    await this.first.database.drop()
  }
}

export interface SseEvent {
  id: string
  type: string
  // biome-ignore lint/suspicious/noExplicitAny: every use is an assertion
  data: any
}

/** A client of server-sent events that keeps what it got. */
export class Follower {
  readonly events: SseEvent[] = []
  readonly response: IncomingMessage
  /** As a browser would send it: also moved by what is no event. */
  lastId = ''
  comments = 0
  ended = false
  #rest = ''

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#take(text))
    response.on('close', () => {
      this.ended = true
    })
    response.on('error', () => {})
  }

  static async open(
    url: string,
    query = '',
    { key = DEMO_KEY, lastEventId }: { key?: string; lastEventId?: string } = {},
  ): Promise<Follower> {
    const headers = { authorization: `Bearer ${key}`, ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) }
    const request = http.get(`${url}/v1/stream${query}`, { headers, agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${await textOf(response)}`)
    return new Follower(response)
  }

  /** Waits until it has so many events. */
  async has(count: number): Promise<SseEvent[]> {
    await until(() => this.events.length >= count, `${count} events, there are ${this.events.length}`)
    return this.events
  }

  async close(): Promise<void> {
    this.response.destroy()
    await until(() => this.ended, 'the end')
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n')
    this.#rest = blocks.pop()!
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
      if (fields.has('')) this.comments++
      if (fields.has('id')) this.lastId = fields.get('id')!
      if (fields.has('data')) this.events.push({ id: this.lastId, type: fields.get('event')!, data: JSON.parse(fields.get('data')!) })
    }
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response) text += chunk
  return text
}
