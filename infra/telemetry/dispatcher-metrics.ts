/** What the dispatcher tells of itself (docs/operations.md lists all metrics). */
import { metrics } from '@opentelemetry/api'
import type { Try } from '../../api/webhooks/ports.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Sequencer } from '../postgres/outbox.ts'

const SECONDS = { explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600] }

export function dispatcherMetrics(sql: Sql) {
  const meter = metrics.getMeter('castor')
  const attempts = meter.createCounter('castor_webhook_attempts_total', { description: 'Attempts of webhook deliveries, by outcome' })
  const duration = meter.createHistogram('castor_webhook_attempt_seconds', {
    description: 'From a webhook’s request to its answer',
    unit: 's',
    advice: SECONDS,
  })
  const delay = meter.createHistogram('castor_webhook_delay_seconds', {
    description: 'From an event to its delivery at the first attempt',
    unit: 's',
    advice: SECONDS,
  })
  meter
    .createObservableGauge('castor_webhook_backlog', { description: 'Events of the outbox that are not yet given to webhooks' })
    .addCallback(async (result) => {
      const [row] = await sql<[{ backlog: number }]>`
        select (e.position - f.position)::float8 + (select count(*) from outbox where position is null)::float8 as backlog
        from outbox_end e, webhook_fan_out f`
      result.observe(row.backlog)
    })
  meter.createObservableGauge('castor_webhooks', { description: 'Webhooks, by status' }).addCallback(async (result) => {
    const rows = await sql<Array<{ status: string; count: number }>>`select status, count(*)::int as count from webhooks group by status`
    for (const { status, count } of rows) result.observe(count, { status })
  })

  return {
    measured:
      (attempt: Try): Try =>
      async (endpoint, row) => {
        const tried = await attempt(endpoint, row)
        attempts.add(1, { outcome: tried.outcome.kind })
        duration.record(tried.attempt.ms / 1000)
        if (tried.outcome.kind === 'delivered') delay.record(Math.max(0, tried.startedAt + tried.attempt.ms - row.at) / 1000)
        return tried
      },
    numbering(sequencer: Sequencer): Sequencer {
      meter
        .createObservableCounter('castor_outbox_numbered_total', {
          description: 'Events that this process gave their position in the outbox',
        })
        .addCallback((result) => result.observe(sequencer.numbered))
      return sequencer
    },
  }
}
