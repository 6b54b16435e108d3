/**
 * A bulk change: a wish or a command for all devices that a filter finds. It asks the twins through their inboxes, at its pace, and watches in
 * Postgres what becomes of each. An operator may start it in the Temporal UI with one JSON object, under any id, and steers it there by
 * Updates; what is asked over REST comes as the signal `asked`.
 */
import {
  condition,
  continueAsNew,
  defineSignal,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow'
import type { BulkActivities } from '../activities/bulk-activities.ts'
import { nextStep, type Progress } from '../twin-models/core/pacing.ts'
import { BULK_BEGIN, BULK_STEP } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import { bulkReport } from './bulk-report.ts'
import { BULK_ASKED_SIGNAL, BULK_WORKFLOW, type BulkAsked, type BulkCarried, type BulkEnd, type BulkStart } from './messages.ts'
import { handleUpdates, mustBeTakeable, type OperatorUpdates, showStatus } from './operators.ts'

/** A step is some seven events: a run continues as new after some sixty steps. */
const LONGEST_HISTORY = 400
const STEP_MS = 1_000

const { beginBulkChange } = proxyActivities<BulkActivities>(BULK_BEGIN)
const { advanceBulkChange, endBulkChange } = proxyLocalActivities<BulkActivities>(BULK_STEP)

export async function bulkChange(start: BulkStart): Promise<BulkEnd> {
  let asked: BulkAsked['wanted'] | undefined
  setHandlers((wanted) => {
    // Nobody takes back an end.
    if (asked !== 'cancel') asked = wanted
  })
  const alarm = new Alarm()
  let { carried, ended } = start?.carried ? { carried: start.carried } : await begin(start)
  let seen = ''
  if (ended) return end(carried, ended)
  for (;;) {
    if (asked === 'cancel') return end(carried, 'cancelled')
    const { id, tenant, upTo, status, reason } = carried
    const wanted = asked
    asked = undefined
    const look = await advanceBulkChange({
      id,
      tenant,
      upTo,
      status: wanted ? statusAfter(wanted, status) : status,
      ...(reason && { reason }),
    })
    if (wanted) carried = steered(carried, wanted, look.progress)
    const step = nextStep(carried.pace, judged(look.progress, carried), carried, Date.now())
    if (step.kind === 'done') return end(carried, 'completed')
    if (carried.status === 'running' && step.kind === 'halt') {
      carried = { ...carried, status: 'halted', reason: step.reason }
      continue
    }
    const news = JSON.stringify(look.progress)
    carried = { ...carried, idle: news === seen ? carried.idle + 1 : 0 }
    seen = news
    report(carried, look)
    if (carried.status === 'running' && step.kind === 'start') {
      carried = { ...carried, upTo: upTo + step.count, startedAt: Date.now(), idle: 0 }
      continue
    }
    // Paused and halted ones only watch those that were asked already; with nobody under way there is nothing to watch.
    const isQuiet = carried.status !== 'running' && look.progress.underway === 0
    alarm.set(isQuiet ? undefined : Date.now() + (step.kind === 'wait' ? step.ms : STEP_MS * 30))
    await condition(() => asked !== undefined || alarm.rang)
    alarm.quieten()
    if (workflowInfo().historyLength >= LONGEST_HISTORY && asked === undefined) await continueAsNew<typeof bulkChange>({ tenant, carried })
  }
}

const UPDATES: OperatorUpdates<BulkAsked['wanted']> = {
  pause: { description: 'Start no more devices until it is resumed.', answer: 'It starts no more devices. Those that were asked go on.' },
  resume: { description: 'Go on, also after it was halted by its error limit: what failed until now is forgiven.', answer: 'It goes on.' },
  cancel: {
    description: 'End it: no further device is asked. Devices that were asked already go on.',
    answer: 'It ends: no further device is asked.',
  },
}

function setHandlers(ask: (wanted: BulkAsked['wanted']) => void): void {
  handleUpdates(UPDATES, ask)
  const signal = defineSignal<[BulkAsked]>(BULK_ASKED_SIGNAL)
  setHandler(signal, ({ wanted }) => ask(wanted), { description: 'What somebody asked for over REST, {wanted}: pause, resume or cancel.' })
}

/** `ended`: how an earlier run of it has ended. */
async function begin(start: BulkStart): Promise<{ carried: BulkCarried; ended?: BulkEnd['status'] }> {
  mustBeTakeable(start, BULK_WORKFLOW)
  const { carried: _, ...request } = start ?? {}
  const { workflowId: workflow, firstExecutionRunId } = workflowInfo()
  // Also after a reset to its beginning it is this one, and not another.
  const { status = 'running', ...begun } = await beginBulkChange({ ...request, id: request.id ?? firstExecutionRunId, workflow })
  const carried = { upTo: 0, startedAt: 0, idle: 0, forgiven: 0, ...begun }
  if (status === 'cancelled' || status === 'completed') return { carried: { ...carried, status: 'running' }, ended: status }
  return { carried: { ...carried, status } }
}

function statusAfter(wanted: 'pause' | 'resume', status: BulkCarried['status']): BulkCarried['status'] {
  if (wanted === 'resume') return 'running'
  return status === 'halted' ? 'halted' : 'paused'
}

function steered({ reason, ...carried }: BulkCarried, wanted: 'pause' | 'resume', { failed }: Progress): BulkCarried {
  const status = statusAfter(wanted, carried.status)
  if (status === 'halted') return { ...carried, ...(reason && { reason }) }
  const forgiven = carried.status === 'halted' ? failed : carried.forgiven
  return { ...carried, status, forgiven, idle: 0 }
}

function judged(progress: Progress, { forgiven }: BulkCarried): Progress {
  return { ...progress, failed: progress.failed - forgiven }
}

async function end(carried: BulkCarried, status: BulkEnd['status']): Promise<BulkEnd> {
  const { id, tenant } = carried
  const look = await endBulkChange({ id, tenant, status })
  report({ ...carried, status }, look)
  return { id, status, ...look.progress }
}

type Look = Awaited<ReturnType<BulkActivities['advanceBulkChange']>>

function report(carried: Omit<BulkCarried, 'status'> & { status: string }, look: Look): void {
  setCurrentDetails(bulkReport(carried, look))
  showStatus(carried.tenant, carried.status)
}
