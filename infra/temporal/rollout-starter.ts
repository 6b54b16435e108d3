/** The workflows of rollouts that REST has registered. One that has ended is started again when something is asked of it: it can be rolled back. */
import { ROLLOUT_ASKED_SIGNAL, ROLLOUT_WORKFLOW, type RolloutAsked } from '../../workflows/messages.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { rolloutStarted, rolloutsUnderWay, rolloutTold, untoldRollouts } from '../postgres/rollout-asked.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

export function startRolloutStarter(options: StarterOptions): { stop(): Promise<void> } {
  return startOperationsStarter(options, {
    name: 'Rollouts',
    workflowType: ROLLOUT_WORKFLOW,
    workflowIdOf: ({ tenant, id }) => `rollout:${tenant}:${id}`,
    untold: untoldRollouts,
    started: (sql, { id }, workflowId) => rolloutStarted(sql, id, workflowId),
    underWay: rolloutsUnderWay,
    tell: async (sql, { tenant, id, asked }, workflowId, client) => {
      if (asked.length === 0) return
      const signal: RolloutAsked = { asks: asked }
      await client.signalWithStart(ROLLOUT_WORKFLOW, {
        ...{ workflowId, taskQueue: OPERATIONS_QUEUE, args: [{ tenant, id }] },
        ...{ signal: ROLLOUT_ASKED_SIGNAL, signalArgs: [signal] },
      })
      await rolloutTold(sql, id, asked)
    },
  })
}
