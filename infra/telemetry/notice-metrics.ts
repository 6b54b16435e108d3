/** What the dispatcher tells of notices (docs/operations.md lists all metrics). */
import { metrics } from '@opentelemetry/api'
import type { SendNotices } from '../../api/notify/ports.ts'
import type { Sql } from '../postgres/connect.ts'

const SECONDS = { explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600] }

export function noticeMetrics(sql: Sql) {
  const meter = metrics.getMeter('castor')
  const messages = meter.createCounter('castor_notice_messages_total', {
    description: 'Messages to targets, each with one notice or many, by kind of target and outcome',
  })
  const duration = meter.createHistogram('castor_notice_attempt_seconds', {
    description: 'From a message to a target to its answer',
    unit: 's',
    advice: SECONDS,
  })
  const delay = meter.createHistogram('castor_notice_delay_seconds', {
    description: 'From when the oldest notice of a message was due to its delivery',
    unit: 's',
    advice: SECONDS,
  })
  meter
    .createObservableGauge('castor_notice_backlog', { description: 'Numbered events of which it is not known yet whom to tell' })
    .addCallback(async (result) => {
      const [row] = await sql<[{ backlog: number }]>`select (e.position - c.position)::float8 as backlog from outbox_end e, notice_cursor c`
      result.observe(row.backlog)
    })
  meter
    .createObservableGauge('castor_notices_open', { description: 'Notices that are to be told and were not yet, by state' })
    .addCallback(async (result) => {
      const rows = await sql<Array<{ state: string; count: number }>>`
        select state, count(*)::int as count from notices where ended_at is null group by state`
      for (const state of ['waiting', 'held']) result.observe(rows.find((row) => row.state === state)?.count ?? 0, { state })
    })
  meter
    .createObservableGauge('castor_targets_failing', { description: 'Targets to which only a probe goes now and then' })
    .addCallback(async (result) => {
      const [row] = await sql<[{ count: number }]>`select count(*)::int as count from targets where health::json ->> 'probeAt' is not null`
      result.observe(row.count)
    })

  return {
    measured:
      (send: SendNotices): SendNotices =>
      async (target, bundle) => {
        const tried = await send(target, bundle)
        messages.add(1, { kind: target.settings.kind, outcome: tried.outcome.kind })
        duration.record(tried.attempt.ms / 1000)
        if (tried.outcome.kind === 'delivered') delay.record(Math.max(0, tried.startedAt + tried.attempt.ms - bundle.dueAt) / 1000)
        return tried
      },
  }
}
