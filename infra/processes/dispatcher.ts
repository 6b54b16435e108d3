/**
 * The dispatcher: numbers the outbox, says for whom each event is, and makes the first attempt of each delivery; it carries out the actions of
 * rules (rule-actions.ts), and tells people of alarms and tickets (notices.ts). It may run many times: one leads, the others stand by, and one of
 * them goes on within a second or two.
 */
import { createTry } from '../../api/webhooks/attempt.ts'
import { Dispatcher } from '../../api/webhooks/dispatcher.ts'
import { createMatching } from '../../api/webhooks/matching.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { ConfigError } from '../config.ts'
import { createOutbound } from '../http/outbound.ts'
import { quietLog } from '../log.ts'
import { connect } from '../postgres/connect.ts'
import { postgresLiveStore } from '../postgres/live-log.ts'
import { type Sequencer, startSequencer } from '../postgres/outbox.ts'
import { createDispatchStore } from '../postgres/webhook-fan-out.ts'
import { dispatcherMetrics } from '../telemetry/dispatcher-metrics.ts'
import { createWebhookStarter } from '../temporal/webhook-starter.ts'
import { startLed } from './led.ts'
import { startNotices } from './notices.ts'
import { createPredictionRounds } from './prediction-rounds.ts'
import type { ProcessContext, RunningProcess } from './process.ts'
import { startRuleActions } from './rule-actions.ts'

/** Two of them hold locks. What endpoints need has its own: however many fail at once, events are numbered and handed out meanwhile. */
const DATABASE_CONNECTIONS = 6
const ENDPOINT_CONNECTIONS = 4
const STATEMENT_MS = 8_000
/** Any number that nobody else locks. */
const DISPATCH_LOCK = 7_204_811_006
/** Postgres may be away for long, and every endpoint notices. */
const LOG_EVERY_MS = 60_000

export async function startDispatcher({ config, log }: ProcessContext): Promise<RunningProcess> {
  if (!config.databaseUrl) throw new ConfigError('DATABASE_URL is not set: the dispatcher needs the Postgres that the other processes use.')
  const sql = connect(config.databaseUrl, { max: DATABASE_CONNECTIONS, name: 'dispatcher', statementTimeoutMs: STATEMENT_MS })
  const endpointSql = connect(config.databaseUrl, {
    ...{ max: ENDPOINT_CONNECTIONS, name: 'dispatcher endpoints', statementTimeoutMs: STATEMENT_MS },
  })
  const address = config.temporalAddress ?? `${config.host}:${config.temporalPort}`
  const starter = createWebhookStarter({ sql, address, namespace: config.temporalNamespace, log })
  const predictions = createPredictionRounds({ sql, log })
  const outbound = createOutbound({ process: 'dispatcher', ...config.webhookNetworks })
  const troubled = quietLog(log, LOG_EVERY_MS)
  const metrics = dispatcherMetrics(sql)
  const dispatcher = new Dispatcher({
    store: createDispatchStore(sql, endpointSql),
    match: createMatching(postgresLiveStore(sql), { find: modelOf, list: listModels }),
    attempt: metrics.measured(createTry(outbound)),
    now: Date.now,
    trouble: (error) => troubled(error, 'Postgres could not be asked about webhooks, or told; tried again'),
  })
  const notices = startNotices({ config: { ...config, databaseUrl: config.databaseUrl }, log }, outbound)
  let sequencer: Sequencer | undefined
  const led = startLed({
    ...{ sql, lock: DISPATCH_LOCK },
    begin: () => {
      sequencer = metrics.numbering(startSequencer({ sql, log }))
    },
    run: (stopping, leads) => dispatcher.run(stopping, () => stillLeads(leads)),
    trouble: (err) => log.warn({ err }, 'Events could not be dispatched; tried again'),
  })
  const actions = startRuleActions({ databaseUrl: config.databaseUrl, log })

  async function stillLeads(leads: () => Promise<boolean>): Promise<boolean> {
    const isLeader = await leads()
    if (isLeader) for (const work of [starter, predictions]) work.look()
    return isLeader
  }

  return {
    ready: () => {
      const ready = led.ready()
      return ready === true ? notices.ready() : ready
    },
    stop: async () => {
      await Promise.all([led.stop(), sequencer?.stop(), actions.stop(), notices.stop()])
      await Promise.all([starter.close(), predictions.close()])
      outbound.close()
      await Promise.all([sql.end({ timeout: 1 }), endpointSql.end({ timeout: 1 })])
    },
  }
}
