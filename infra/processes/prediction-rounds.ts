/** Scheduled predictions, by the dispatcher that leads: it has nothing to do with Temporal, and what it does twice is done once. */
import { metrics } from '@opentelemetry/api'
import type { Logger } from 'pino'
import type { Sql } from '../postgres/connect.ts'
import { waitingPredictions } from '../postgres/prediction-asked.ts'
import { askNextPage, expirePredictions } from '../postgres/prediction-schedule.ts'
import { createRounds } from '../temporal/rounds.ts'

/** Of a hundred devices each, at a look: more wait for the next one, a second later. */
const PAGES_A_LOOK = 10

/** `look`: a round begins, where none is under way; about once a second. */
export function createPredictionRounds({ sql, log }: { sql: Sql; log: Logger }): { look(): void; close(): Promise<void> } {
  let isClosing = false
  const rounds = createRounds(round, (err) => log.warn({ err }, 'Scheduled predictions could not be asked for; tried again'))

  metrics
    .getMeter('castor')
    .createObservableGauge('castor_predictions_waiting', { description: 'Predictions that wait for their answer' })
    .addCallback(async (result) => result.observe(await waitingPredictions(sql)))

  async function round(): Promise<void> {
    await expirePredictions(sql)
    for (let page = 0; page < PAGES_A_LOOK && !isClosing; page++)
      if (
        !(await askNextPage(sql, ({ tenant, name }, err) =>
          log.warn({ err, tenant, model: name }, 'A scheduled prediction model could not be asked; its next round is tried'),
        ))
      )
        return
  }

  return {
    look: rounds.begin,
    close: async () => {
      isClosing = true
      await rounds.ended()
    },
  }
}
