/** What the dispatcher tells of the actions of rules (docs/operations.md lists all metrics). */
import { metrics } from '@opentelemetry/api'
import type { ActionRunnerOptions } from '../../api/alarms/action-runner.ts'
import type { Sql } from '../postgres/connect.ts'

export function actionMetrics(sql: Sql): Required<Pick<ActionRunnerOptions, 'carried'>> {
  const meter = metrics.getMeter('castor')
  const actions = meter.createCounter('castor_rule_actions_total', { description: 'Actions of rules, by kind and how an attempt ended' })
  const delay = meter.createHistogram('castor_rule_action_delay_seconds', {
    description: 'From an alarm that is raised or cleared to what its rule does then',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600] },
  })
  meter
    .createObservableGauge('castor_rule_actions_waiting', { description: 'Actions of rules that are not done yet' })
    .addCallback(async (result) => {
      const [row] = await sql<[{ count: number }]>`select count(*)::int as count from rule_actions where state = 'waiting'`
      result.observe(row.count)
    })
  meter
    .createObservableGauge('castor_rule_backlog', {
      description: 'Events of the outbox that were not yet looked at for the actions of rules',
    })
    .addCallback(async (result) => {
      const [row] = await sql<[{ backlog: number }]>`
        select (e.position - c.position)::float8 as backlog from outbox_end e, rule_action_cursor c`
      result.observe(row.backlog)
    })
  return {
    carried: ({ kind }, { outcome, delayMs }) => {
      if (outcome === 'passed') return
      actions.add(1, { kind, outcome })
      if (delayMs !== undefined) delay.record(delayMs / 1000)
    },
  }
}
