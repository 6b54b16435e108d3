/** What the figures of webhooks are made with: the receiver, webhooks over REST, events at a pace, and events written straight into the outbox. */
import type { ChildProcess } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import type { Sql } from '../../infra/postgres/connect.ts'
import { type Json, restClient } from '../support/client.ts'
import type { Castor } from './castor.ts'
import { answerOf, endOf, forkBeside } from './children.ts'
import { MODEL, TENANT } from './fleet.ts'
import type { PathReport, ReceiverCommand, ReceiverReport } from './webhook-receiver.ts'

const NOTHING: PathReport = { count: 0, p50Ms: Number.NaN, p99Ms: Number.NaN, maxMs: Number.NaN }
/** A discard port: nobody listens there. */
const REFUSED = 'http://127.0.0.1:9'
const ROWS_AT_ONCE = 50_000
/** Failures in a row (twin-models/core/delivery.ts). */
const OPENS_AFTER = 10

export class WebhookKit {
  readonly #castor: Castor
  readonly #child: ChildProcess
  readonly #receiver: string
  readonly #rest: ReturnType<typeof restClient>

  private constructor(castor: Castor, child: ChildProcess, port: number) {
    this.#castor = castor
    this.#child = child
    this.#receiver = `http://127.0.0.1:${port}`
    this.#rest = restClient(`http://${castor.host}:${castor.httpPort}`, castor.adminKey)
  }

  static async start(castor: Castor): Promise<WebhookKit> {
    const child = forkBeside('webhook-receiver.ts')
    const { port } = await answerOf<ReceiverReport>(child, 'webhook receiver')
    return new WebhookKit(castor, child, port)
  }

  stop(): Promise<void> {
    return endOf(this.#child)
  }

  /** As fast as a webhook may be asked for, unless told otherwise. `refused`: nobody listens there. Its id. */
  async webhook(path: string, types: string[], { refused = false, ...more }: { refused?: boolean; atOnce?: number } = {}): Promise<string> {
    const url = (refused ? REFUSED : this.#receiver) + path
    return (await this.#asked('POST', '/v1/webhooks', { url, types, perSecond: 1_000, atOnce: 100, ...more })).id
  }

  /** To where the receiver is. */
  async move(id: string, path: string): Promise<void> {
    await this.#asked('PATCH', `/v1/webhooks/${id}`, { url: this.#receiver + path })
  }

  async steer(ids: string[], what: 'pause' | 'resume'): Promise<void> {
    for (const id of ids) await this.#asked('POST', `/v1/webhooks/${id}/${what}`)
  }

  async remove(ids: string[]): Promise<void> {
    for (const id of ids) await this.#asked('DELETE', `/v1/webhooks/${id}`)
  }

  /** How many have failed so often that they are given up for now. */
  async givenUp(): Promise<number> {
    const { items } = await this.#asked('GET', '/v1/webhooks?limit=200')
    return items.filter((item: Json) => item.health.failures >= OPENS_AFTER).length
  }

  /** What came to that path since the mark. */
  async came(path: string): Promise<PathReport> {
    return (await this.#tell('report')).paths[path] ?? NOTHING
  }

  async mark(): Promise<void> {
    await this.#tell('mark')
  }

  /** Registers devices one by one, in an open loop; each event of it names when it was asked for. How long each took to be answered. */
  async registrations(prefix: string, perSecond: number, seconds: number): Promise<number[]> {
    const answeredMs: number[] = []
    await paced(perSecond, seconds, async (n) => {
      const sentAt = Date.now()
      await this.#asked('POST', '/v1/devices', { id: `${prefix}${n}`, model: MODEL, attributes: { sentAt } })
      answeredMs.push(Date.now() - sentAt)
    })
    return answeredMs
  }

  async register(device: string, model: string): Promise<string> {
    return (await this.#asked('POST', '/v1/devices', { id: device, model })).token
  }

  async rule(name: string, rule: object): Promise<void> {
    await this.#asked('PUT', `/v1/rules/${name}`, rule)
  }

  async removeRule(name: string): Promise<void> {
    await this.#asked('DELETE', `/v1/rules/${name}`)
  }

  /** Decisions as twins write them, as if they had. */
  async insertEvents(count: number): Promise<void> {
    for (let from = 0; from < count; from += ROWS_AT_ONCE) await insertEvents(this.#castor.sql, from, Math.min(ROWS_AT_ONCE, count - from))
  }

  /** Waits until it is known of every event for whom it is. */
  async sorted(timeoutMs: number, meanwhile: () => void = () => {}): Promise<void> {
    await until(timeoutMs, 'all events are sorted to webhooks', async () => {
      meanwhile()
      const [row] = await this.#castor.sql<Array<{ sorted: boolean }>>`
        select not exists (select from outbox where position is null) and f.position = e.position as sorted from outbox_end e, webhook_fan_out f`
      return row!.sorted
    })
  }

  /** Bytes of each table, indexes included. */
  async bytes(): Promise<{ outbox: number; webhooks: number }> {
    const [row] = await this.#castor.sql<Array<{ outbox: number; webhooks: number }>>`
      select (select sum(pg_total_relation_size(relid))::float8 from pg_partition_tree('outbox') where isleaf) as outbox,
        (select sum(pg_total_relation_size(relid))::float8 from pg_partition_tree('webhook_events') where isleaf)
          + pg_total_relation_size('webhook_deliveries')::float8 as webhooks`
    return row!
  }

  #tell(command: ReceiverCommand): Promise<ReceiverReport> {
    this.#child.send(command)
    return answerOf<ReceiverReport>(this.#child, 'webhook receiver')
  }

  async #asked(method: string, path: string, body?: unknown): Promise<Json> {
    const answer = await this.#rest(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
}

/** Each at its time, whatever became of those before. How many; all are done. */
export async function paced(perSecond: number, seconds: number, one: (n: number) => Promise<void>): Promise<number> {
  const count = Math.round(perSecond * seconds)
  const running: Array<Promise<void>> = []
  const from = performance.now()
  for (let n = 0; n < count; n++) {
    const wait = from + (n * 1000) / perSecond - performance.now()
    if (wait > 0) await pause(wait)
    running.push(one(n))
  }
  await Promise.all(running)
  return count
}

export async function until(timeoutMs: number, what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${Math.round(timeoutMs / 1000)} s in vain: ${what}`)
    await pause(250)
  }
}

async function insertEvents(sql: Sql, from: number, count: number): Promise<void> {
  await sql`
    insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
    select now(), ${TENANT}, 1 + n % 1000, 'backlog-' || n % 1000, n, 'range-changed',
      '{"at":1795728677072,"ts":1795728677072,"name":"temperature","before":"normal","after":"high","value":' || 35 + n % 10 || '}',
      '{"by":"message","messageId":"m-' || n || '"}'
    from generate_series(${from}::int, ${from + count - 1}::int) as n`
}
