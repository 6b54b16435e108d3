/** The actions of rules, in the dispatcher: one process leads, by a lock of its own, and the others stand by. */
import type { Logger } from 'pino'
import { ActionRunner } from '../../api/alarms/action-runner.ts'
import { createCarryOut } from '../../api/alarms/carry-out.ts'
import type { ActionPorts } from '../../api/alarms/ports.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { quietLog } from '../log.ts'
import { connect, type Transaction } from '../postgres/connect.ts'
import { requestPrediction } from '../postgres/predictions.ts'
import { createActionStore } from '../postgres/rule-action-work.ts'
import { openTicketOfRule } from '../postgres/ticket-open.ts'
import { actionMetrics } from '../telemetry/action-metrics.ts'
import { startLed } from './led.ts'

/** What opens tickets and what predicts. An action of a kind that has nothing here ends as failed, and says so. */
const PORTS: ActionPorts<Transaction> = { openTicket: openTicketOfRule, requestPrediction }

/** One holds the lock, four work, one reads on. */
const CONNECTIONS = 6
const STATEMENT_MS = 8_000
/** Any number that nobody else locks. */
const ACTION_LOCK = 7_204_811_011
const LOG_EVERY_MS = 60_000

export function startRuleActions({ databaseUrl, log }: { databaseUrl: string; log: Logger }): { stop(): Promise<void> } {
  const sql = connect(databaseUrl, { max: CONNECTIONS, name: 'dispatcher actions', statementTimeoutMs: STATEMENT_MS })
  const models = { find: (name: string) => modelOf(name), list: listModels }
  const runner = new ActionRunner({
    store: createActionStore(sql, PORTS),
    act: createCarryOut(models, Date.now),
    ...actionMetrics(sql),
  })
  const troubled = quietLog(log, LOG_EVERY_MS)
  const led = startLed({
    ...{ sql, lock: ACTION_LOCK },
    run: (stopping, leads) => runner.run(stopping, leads),
    trouble: (error) => troubled(error, 'Actions of rules could not be carried out; tried again'),
  })
  return {
    stop: async () => {
      await led.stop()
      await sql.end({ timeout: 1 })
    },
  }
}
