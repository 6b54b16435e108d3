/**
 * The part of the dispatcher that tells people of alarms and tickets. It has a lock and connections of its own: however much is to be told, events
 * are numbered and webhooks are sent meanwhile.
 */
import { NoticeDispatcher } from '../../api/notify/notice-dispatcher.ts'
import { createSend } from '../../api/notify/send.ts'
import type { WebhookSender } from '../../api/webhook-ports.ts'
import { quietLog } from '../log.ts'
import { createMailer } from '../mail/mailer.ts'
import { connect } from '../postgres/connect.ts'
import { createNoticeStore } from '../postgres/notice-store.ts'
import { noticeMetrics } from '../telemetry/notice-metrics.ts'
import { startLed } from './led.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

/** One of them holds the lock. */
const CONNECTIONS = 6
const STATEMENT_MS = 8_000
/** Any number that nobody else locks. */
const NOTICE_LOCK = 7_204_811_010
const LOG_EVERY_MS = 60_000

export function startNotices(
  { config, log }: Pick<ProcessContext, 'config' | 'log'> & { config: { databaseUrl: string } },
  sender: Pick<WebhookSender, 'post'>,
): RunningProcess {
  const sql = connect(config.databaseUrl, { max: CONNECTIONS, name: 'dispatcher notices', statementTimeoutMs: STATEMENT_MS })
  const [troubled, mailTrouble] = [quietLog(log, LOG_EVERY_MS), quietLog(log, LOG_EVERY_MS)]
  const { smtpUrl: url, smtpFrom: from, publicUrl } = config
  const mailer = createMailer({ url, from, trouble: (error) => mailTrouble(error, 'An e-mail could not be sent') })
  const metrics = noticeMetrics(sql)
  const dispatcher = new NoticeDispatcher({
    store: createNoticeStore(sql),
    send: metrics.measured(createSend({ sender, mailer, publicUrl })),
    now: Date.now,
    trouble: (error) => troubled(error, 'Postgres could not be asked about notices, or told; tried again'),
    missed: (count) => log.error({ count }, 'Events were dropped before it was known whom to tell of them'),
  })
  const led = startLed({
    ...{ sql, lock: NOTICE_LOCK },
    run: (stopping, leads) => dispatcher.run(stopping, leads),
    trouble: (err) => log.warn({ err }, 'Nobody could be told of alarms; tried again'),
  })
  return {
    ready: led.ready,
    stop: async () => {
      await led.stop()
      mailer.close()
      await sql.end({ timeout: 1 })
    },
  }
}
