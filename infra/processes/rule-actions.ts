/** The actions of rules, in the dispatcher: one process leads, by a lock of its own, and the others stand by. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ActionRunner } from '../../api/alarms/action-runner.ts'
import { createCarryOut } from '../../api/alarms/carry-out.ts'
import type { ActionPorts } from '../../api/alarms/ports.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { quietLog } from '../log.ts'
import { connect, type Transaction } from '../postgres/connect.ts'
import { createLeadership } from '../postgres/leadership.ts'
import { checkSchema } from '../postgres/migrate.ts'
import { requestPrediction } from '../postgres/predictions.ts'
import { createActionStore } from '../postgres/rule-action-work.ts'
import { openTicketOfRule } from '../postgres/ticket-open.ts'
import { actionMetrics } from '../telemetry/action-metrics.ts'

/** What opens tickets and what predicts. An action of a kind that has nothing here ends as failed, and says so. */
const PORTS: ActionPorts<Transaction> = { openTicket: openTicketOfRule, requestPrediction }

/** One holds the lock, four work, one reads on. */
const CONNECTIONS = 6
const STATEMENT_MS = 8_000
/** Any number that nobody else locks. */
const ACTION_LOCK = 7_204_811_011
const STAND_BY_MS = 1_000
const LOG_EVERY_MS = 60_000

export function startRuleActions({ databaseUrl, log }: { databaseUrl: string; log: Logger }): { stop(): Promise<void> } {
  const sql = connect(databaseUrl, { max: CONNECTIONS, name: 'dispatcher actions', statementTimeoutMs: STATEMENT_MS })
  const leadership = createLeadership(sql, ACTION_LOCK)
  const leads = async () => (await leadership.lead()) !== undefined
  const models = { find: (name: string) => modelOf(name), list: listModels }
  const runner = new ActionRunner({
    store: createActionStore(sql, PORTS),
    act: createCarryOut(models, Date.now),
    ...actionMetrics(sql),
  })
  const troubled = quietLog(log, LOG_EVERY_MS)
  const stopping = new AbortController()
  const running = run()

  async function run(): Promise<void> {
    let isKnown = false
    while (!stopping.signal.aborted) {
      try {
        // Never writes into a schema that it does not know.
        if (!isKnown) await checkSchema(sql)
        isKnown = true
        if (await leads()) await runner.run(stopping.signal, leads)
      } catch (error) {
        troubled(error, 'Actions of rules could not be carried out; tried again')
      }
      await sleep(STAND_BY_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  return {
    stop: async () => {
      stopping.abort()
      await running
      await leadership.resign()
      await sql.end({ timeout: 1 })
    },
  }
}
