/**
 * Telling people on real Postgres: targets made over REST, rules and what happens to alarms as rows, a dispatcher that may be dropped, receivers over
 * HTTP and SMTP. Its clock is ours with as much added as the test says.
 */
import type { AppDeps } from '../../api/app.ts'
import { NoticeDispatcher } from '../../api/notify/notice-dispatcher.ts'
import type { NoticeStore, SendNotices } from '../../api/notify/ports.ts'
import { createSend } from '../../api/notify/send.ts'
import { createOutbound, type Outbound } from '../../infra/http/outbound.ts'
import { createMailer, type RunningMailer } from '../../infra/mail/mailer.ts'
import { createNoticeStore } from '../../infra/postgres/notice-store.ts'
import type { OpenAlarm } from '../../twin-models/core/rule-types.ts'
import { Leaders, type RunningLeader } from '../support/leaders.ts'
import { MailServer } from '../support/mail-server.ts'
import { emit, type Happening } from '../support/outbox.ts'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { DEMO_KEY, type TestApi, testApi } from './test-api.ts'

export const PUBLIC_URL = 'https://castor.example.com'
export const MAIL_FROM = 'Castor <castor@example.com>'

export interface KitNotice {
  id: number
  target: string
  key: string
  status: string
  state: string
  reason: string | null
  bundle: string | null
  shown: boolean
}

export class NotifyKit {
  readonly api: TestApi
  readonly store: NoticeStore
  readonly receiver: WebhookReceiver
  readonly mail: MailServer
  readonly send: SendNotices
  /** Errors that the dispatchers told. */
  readonly troubles: unknown[] = []
  /** Added to the clock. */
  laterMs = 0
  /** How often dispatchers have looked for what there is to do. */
  #looks = 0
  readonly #outbound: Outbound
  readonly #mailer: RunningMailer
  readonly #leaders = new Leaders()

  private constructor(api: TestApi, receiver: WebhookReceiver, mail: MailServer, mailer: RunningMailer, outbound: Outbound) {
    this.api = api
    this.receiver = receiver
    this.mail = mail
    this.#mailer = mailer
    this.#outbound = outbound
    const store = createNoticeStore(api.database.sql)
    this.store = {
      ...store,
      ready: (now) => {
        this.#looks++
        return store.ready(now)
      },
    }
    this.send = createSend({ sender: outbound, mailer, publicUrl: PUBLIC_URL, now: this.now })
  }

  static async start(overrides: Partial<AppDeps> = {}): Promise<NotifyKit> {
    const receiver = await WebhookReceiver.start()
    const mail = await MailServer.start()
    const mailer = createMailer({ url: mail.url, from: MAIL_FROM, trouble: () => {} })
    const outbound = createOutbound({ process: 'dispatcher', allowPrivate: true, allowNetworks: [] })
    const sendNotices = createSend({ sender: outbound, mailer, publicUrl: PUBLIC_URL })
    const api = await testApi({ mailer, sendNotices, webhookSender: outbound, ...overrides })
    return new NotifyKit(api, receiver, mail, mailer, outbound)
  }

  readonly now = (): number => Date.now() + this.laterMs

  get sql() {
    return this.api.database.sql
  }

  /** Made over REST; a webhook without waits, unless the settings say so. Gives its secret. */
  async target(name: string, settings: object, key = DEMO_KEY): Promise<string> {
    const { status, json, text } = await this.api.ask('PUT', `/v1/targets/${name}`, {
      key,
      body: { groupWait: '0s', groupInterval: '0s', perMinute: 600, ...settings },
    })
    if (status !== 201 && status !== 200) throw new Error(text)
    return json.secret
  }

  webhook(name: string, url: string, settings: object = {}, key = DEMO_KEY): Promise<string> {
    return this.target(name, { kind: 'webhook', url, ...settings }, key)
  }

  /** Version 1 of a live rule that tells these, after so long each. */
  async rule(name: string, actions: Array<[target: string, after?: string]>, tenant = 'demo'): Promise<void> {
    const body = JSON.stringify({
      status: 'live',
      actions: actions.map(([target, after]) => ({ kind: 'notify', target, ...(after && { after }) })),
    })
    await this.sql`
      insert into rules (tenant, name, version, status, body, created_by) values (${tenant}, ${name}, 1, 'live', ${body}, 'test')
      on conflict (tenant, name) do update set body = excluded.body`
    await this.sql`
      insert into rule_versions (tenant, name, version, body, created_by) values (${tenant}, ${name}, 1, ${body}, 'test')
      on conflict (tenant, name, version) do update set body = excluded.body`
  }

  /** Alarm number `n` of a device. */
  raised(incarnation: number, n: number, more: Partial<OpenAlarm> = {}): Happening {
    const alarm: OpenAlarm = {
      ...{
        n,
        rule: 'hot',
        version: 1,
        severity: 'major',
        text: 'It is 83.4 °C',
        since: Date.now() - 60_000,
        raisedAt: Date.now() - 50_000,
        count: 1,
      },
      ...{ values: { temperature: 83.4 }, ...more },
    }
    return { incarnation, kind: 'alarm-raised', alarm }
  }

  cleared(incarnation: number, n: number, more: object = {}): Happening {
    return {
      ...{ incarnation, kind: 'alarm-cleared', n, rule: 'hot', severity: 'major', text: 'It is 83.4 °C', reason: 'rule' },
      ...{ values: { temperature: 70 }, ...more },
    }
  }

  /** Decided now, in this order, and numbered. */
  async happen(...happenings: Happening[]): Promise<void> {
    await emit(this.sql, happenings, this.now())
  }

  /** Reads all that happened, without a dispatcher. */
  async take(): Promise<void> {
    while ((await this.store.take()).more);
  }

  /** All that is due now was begun. */
  async looked(): Promise<void> {
    const from = this.#looks
    await until(() => this.#looks > from + 3, 'a dispatcher has looked')
  }

  async notices(): Promise<KitNotice[]> {
    return this.sql<KitNotice[]>`select id, target, key, status, state, reason, bundle, shown from notices order by id`
  }

  dispatch({ store = this.store, send = this.send }: { store?: NoticeStore; send?: SendNotices } = {}): RunningLeader {
    return this.#leaders.begin(this.#dispatcher(store, send))
  }

  drop(store: NoticeStore, send: SendNotices): void {
    this.#leaders.drop(this.#dispatcher(store, send))
  }

  #dispatcher(store: NoticeStore, send: SendNotices): NoticeDispatcher {
    return new NoticeDispatcher({ store, send, now: this.now, trouble: (error) => this.troubles.push(error), missed: () => {}, soonMs: 50 })
  }

  /** Ends dispatchers, removes all targets, rules and notices, and forgets what was received. */
  async clear(): Promise<void> {
    await this.#leaders.stop()
    await this.take()
    await this.sql`truncate targets, notices, notice_bundles, notice_groups, told_alarms, rules, rule_versions`
    this.laterMs = 0
    this.troubles.length = 0
    this.receiver.clear()
    this.mail.clear()
  }

  async stop(): Promise<void> {
    await this.clear()
    this.#outbound.close()
    this.#mailer.close()
    await this.mail.stop()
    await this.receiver.stop()
    await this.api.database.drop()
  }
}
