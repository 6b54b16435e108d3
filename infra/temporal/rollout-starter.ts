/**
 * The workflows of rollouts that REST has registered. One that has ended is started again when something is asked of it: it can be rolled back. One
 * whose workflow was ended from outside (terminated, say) is started again too, but halted: whoever did that did not want it to go on.
 */
import { ROLLOUT_ASKED_SIGNAL, ROLLOUT_WORKFLOW, type RolloutAsked, type RolloutStart } from '../../workflows/messages.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { rolloutStarted, rolloutsUnderWay, rolloutTold, type UntoldRollout, untoldRollouts } from '../postgres/rollout-asked.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

export function startRolloutStarter(options: StarterOptions): { stop(): Promise<void> } {
  return startOperationsStarter(options, {
    name: 'Rollouts',
    workflowType: ROLLOUT_WORKFLOW,
    workflowIdOf: ({ tenant, id }) => `rollout:${tenant}:${id}`,
    untold: untoldRollouts,
    started: (sql, { id }, workflowId) => rolloutStarted(sql, id, workflowId),
    underWay: rolloutsUnderWay,
    interruptedStart: halting,
    tell: async (sql, work, workflowId, client) => {
      const { id, asked } = work
      if (asked.length === 0) return
      const signal: RolloutAsked = { asks: asked }
      await client.signalWithStart(ROLLOUT_WORKFLOW, {
        ...{ workflowId, taskQueue: OPERATIONS_QUEUE, args: [halting(work)] },
        ...{ signal: ROLLOUT_ASKED_SIGNAL, signalArgs: [signal] },
      })
      await rolloutTold(sql, id, asked)
    },
  })
}

/** Only where it would go on by itself. */
function halting({ tenant, id, status }: UntoldRollout): RolloutStart {
  return { tenant, id, ...((status === 'running' || status === 'rolling-back') && { interrupted: true }) }
}
