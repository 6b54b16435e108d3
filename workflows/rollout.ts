/**
 * A rollout: a firmware for all devices that a filter or group finds, in waves. It asks the twins through their inboxes, at its pace, counts in
 * Postgres what becomes of each, and decides by the pure core (twin-models/core/rollout.ts) when the next wave begins and when to halt. An operator
 * may start it in the Temporal UI with one JSON object, under any id, and steers it there by Updates; what is asked over REST comes as the signal
 * `asked`.
 */
import { condition, continueAsNew, proxyActivities, workflowInfo } from '@temporalio/workflow'
import type { RolloutActivities } from '../activities/rollout-activities.ts'
import { initialRollout } from '../twin-models/core/rollout.ts'
import { summed } from '../twin-models/core/rollout-waves.ts'
import { ROLLOUT_BEGIN } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import { ROLLOUT_WORKFLOW, type RolloutCarried, type RolloutEnd, type RolloutStart } from './messages.ts'
import { answerAll, isQuiet, mustBeTakeable } from './operators.ts'
import { type Asked, handleAsked } from './rollout-handlers.ts'
import { previewReport } from './rollout-report.ts'
import { RolloutRun } from './rollout-run.ts'

/** A second of a running rollout is some eight events: a run continues as new after some fifty. */
const LONGEST_HISTORY = 400

const { beginRollout } = proxyActivities<RolloutActivities>(ROLLOUT_BEGIN)

export async function rollout(start: RolloutStart): Promise<RolloutEnd> {
  const queue: Asked[] = []
  let run: RolloutRun | undefined
  handleAsked(queue, (ask) => run?.wouldRefuse(ask))
  run = new RolloutRun(start?.carried ?? (await begin(start, queue)))
  const alarm = new Alarm()
  await run.look()
  for (;;) {
    await answerAll(queue, (asked) => run.obey(asked))
    const step = run.next()
    if (step.kind !== 'wait') {
      await run.take(step)
      run.report()
      if (step.kind === 'done' && (await isQuiet(queue))) return endOf(run)
      continue
    }
    run.wait(step)
    run.report()
    if (workflowInfo().historyLength >= LONGEST_HISTORY && (await isQuiet(queue)))
      await continueAsNew<typeof rollout>({ tenant: run.carried.tenant, carried: run.carried })
    alarm.set(step.ms === undefined ? undefined : Date.now() + step.ms)
    await condition(() => queue.length > 0 || alarm.rang)
    alarm.quieten()
    await run.look()
  }
}

async function begin(start: RolloutStart, queue: Asked[]): Promise<RolloutCarried> {
  mustBeTakeable(start, ROLLOUT_WORKFLOW)
  const { carried: _, ...request } = start ?? {}
  const { workflowId: workflow, firstExecutionRunId } = workflowInfo()
  // Also after a reset to its beginning it is this one, and not another.
  const begun = await beginRollout({ ...request, id: request.id ?? firstExecutionRunId, workflow })
  const { id, tenant, plan, about, preview, ask, carried = { n: 0, state: initialRollout(plan), heard: [] } } = begun
  if (ask) queue.unshift({ ask, id: `start ${workflowInfo().runId}`, ...('interrupted' in ask && { by: 'Castor' }) })
  return { id, tenant, plan, about: { ...about, ...(preview && { preview: previewReport(preview, Date.now()) }) }, ...carried }
}

function endOf({ carried, counts }: RolloutRun): RolloutEnd {
  const { id, state } = carried
  return {
    id,
    status: state.status as RolloutEnd['status'],
    ...(state.reason !== undefined && { reason: state.reason }),
    devices: summed(counts.waves),
  }
}
