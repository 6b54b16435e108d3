/**
 * The twin of one device: one long-lived workflow (docs/architecture.md §5).
 *
 *   signal inbox ──► queue ──► consume (decide, evolve: pure) ──► decision write (local activity) ──► state
 *
 * The state here is a copy: Postgres is the arbiter. A write that finds Postgres elsewhere gives back what stands there, and the twin
 * adopts it and decides anew what that state has not consumed (§3.9). So a task that runs again or a run that was reset costs nothing.
 */
import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow'
import { type TwinKey, twinWorkflowId } from '../twin-models/ids.ts'
import {
  INBOX_SIGNAL,
  type InboxSignal,
  REMOVED_SIGNAL,
  type RemovedSignal,
  TWIN_QUERY,
  type TwinAnswer,
  type TwinEnd,
  type TwinStart,
} from './messages.ts'
import { Twin } from './twin.ts'

/**
 * A run continues as new from here: 20 decisions. What that costs does not show while the twin is cached (11.7 ms of the worker's CPU a
 * decision, 12.1 with runs of 300 events); a twin that must be replayed costs 52 ms, and 74 with runs of 200 (two busy cores).
 * Another number is another order of commands for runs under way: guard a change with `patched`.
 */
const LONGEST_HISTORY = 100

const inboxSignal = defineSignal<[InboxSignal]>(INBOX_SIGNAL)
const removedSignal = defineSignal<[RemovedSignal?]>(REMOVED_SIGNAL)
const twinQuery = defineQuery<TwinAnswer>(TWIN_QUERY)

export async function deviceTwin(start: TwinStart): Promise<TwinEnd> {
  const twin = new Twin(checkedKey(start), start.carried)
  const queue: InboxSignal[] = []
  let removed = false

  const take = (signal: InboxSignal): void => {
    if (isSeal(signal)) queue.push(signal)
  }
  const remove = (): void => {
    removed = true
  }
  setHandler(inboxSignal, take, {
    description: 'One seal of the twin inbox, {seq, batch}. Sent by the processor; a seq that was consumed changes nothing.',
  })
  setHandler(removedSignal, remove, {
    description: 'The registration of the device ended: the twin completes. Sent by the processor after DELETE /v1/devices/{id}.',
  })
  setHandler(twinQuery, () => twin.answer(), {
    description: 'The decided part of the twin document, the newest seal consumed and the revision.',
  })
  twin.report()

  // The signal of a signalWithStart is there after this turn. Without one somebody started the twin by hand, perhaps of no device.
  await Promise.resolve()
  if (!start.carried && queue.length === 0 && !removed && !(await twin.exists())) return twin.end('gone')

  for (;;) {
    twin.setAlarms()
    await condition(() => queue.length > 0 || removed || twin.alarmRang)
    if (removed) return twin.end('removed')
    const outcome = queue.length > 0 ? await twin.takeSeal(queue) : await twin.takeAlarm()
    if (outcome === 'gone') return twin.end('gone')
    if (workflowInfo().historyLength >= LONGEST_HISTORY && queue.length === 0 && !removed && allHandlersFinished()) {
      await continueAsNew<typeof deviceTwin>(twin.carry())
    }
  }
}

/** An operator may start a twin by hand: under its own id only, or two runs would decide for one device. */
function checkedKey(start: TwinStart | undefined): TwinKey {
  const { tenant, device, incarnation } = start ?? {}
  if (typeof tenant !== 'string' || typeof device !== 'string' || !Number.isSafeInteger(incarnation)) {
    throw ApplicationFailure.nonRetryable('deviceTwin takes one object: {"tenant": "...", "device": "...", "incarnation": 1}', 'invalid')
  }
  const key = { tenant, device, incarnation: incarnation as number }
  const { workflowId } = workflowInfo()
  if (workflowId !== twinWorkflowId(key)) {
    throw ApplicationFailure.nonRetryable(`The twin of this device has the id ${twinWorkflowId(key)}, not ${workflowId}`, 'invalid')
  }
  return key
}

/** The signal can be sent by hand too; what is no seal is left aside, in words. */
function isSeal(signal: InboxSignal | undefined): signal is InboxSignal {
  const { seq, batch } = signal ?? {}
  const good = Number.isSafeInteger(seq) && typeof batch?.merged === 'object' && batch.merged !== null && Array.isArray(batch.inputs)
  if (!good) log.warn('An inbox signal that is no seal was ignored: it takes {"seq": 1, "batch": {...}}')
  return good
}
