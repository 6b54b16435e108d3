/** The sealed slot of an inbox: what goes out to the twin, and what becomes of what waits when it has answered. */
import { takeBatch } from './batch.ts'
import { isOfPresence, isUrgent } from './hellos.ts'
import { addLife } from './inbox.ts'
import {
  ALL,
  type Expected,
  type Inbox,
  mergeFunctions,
  mergeInput,
  OPENS_ALL,
  openedBy,
  opens,
  type Pending,
  presenceAfter,
  REPORTED,
  type Sealed,
  take,
} from './inbox-slots.ts'
import type { TwinInput, Wake } from './types.ts'
import { isNewsReport } from './wake.ts'

/** Moves what waits into `sealed`. The caller saw that `sealed` is empty and something is pending; it commits before it signals. */
export function seal(inbox: Inbox, now: number): Sealed {
  mergeFunctions(inbox)
  const pending = inbox.pending as Pending
  const { batch, rest } = takeBatch(pending)
  inbox.sealedSeq++
  inbox.sealed = { seq: inbox.sealedSeq, batch: JSON.stringify(batch), at: now, open: openedBy(batch.inputs, inbox.sealedSeq, inbox.wake) }
  inbox.pending = rest
  return inbox.sealed
}

/** The twin answered: the seal is gone, its wake conditions are new, and what is pending is looked at in their light. */
export function answered(inbox: Inbox, seq: number, wake: Wake): void {
  inbox.wake = wake
  if (inbox.sealed !== null && inbox.sealed.seq <= seq) inbox.sealed = null
  if (inbox.sealed === null && inbox.pending !== null) reconsider(inbox, inbox.pending)
  if (inbox.sealed !== null) return
  Object.assign(inbox, presenceAfter(inbox.pending?.inputs ?? [], wake))
  // It went offline by its own timer while its device spoke.
  const { offlineSince = Infinity } = wake
  if (
    inbox.expected === wake.presence &&
    inbox.pending !== null &&
    inbox.pending.lastSeenAt > offlineSince &&
    !inbox.pending.inputs.some(isOfPresence)
  )
    addLife(inbox, inbox.pending.lastSeenAt)
}

/** Readings that were appended only because their property was open are merged again when, by the new conditions, none of them wakes; reports are dropped. */
function reconsider(inbox: Inbox, pending: Pending): void {
  const waking = new Set<string>()
  // Routine ones cannot wake; those that found no room in a full inbox can.
  for (const [name, [, , , value, ts, receivedAt]] of Object.entries(pending.merged)) {
    const opened = opens(inbox.wake, { name, value, ts: ts + pending.since, receivedAt: receivedAt + pending.since })
    if (opened !== undefined) waking.add(opened)
  }
  for (const input of pending.inputs) {
    if (OPENS_ALL.has(input.kind)) waking.add(ALL)
    else if (input.kind === 'reading') {
      const opened = opens(inbox.wake, { ...input, receivedAt: input.at })
      if (opened !== undefined) waking.add(opened)
    } else if (input.kind === 'wish' || (input.kind === 'reported' && isNewsReport(inbox.wake, input))) waking.add(REPORTED)
  }
  const kept: TwinInput[] = []
  let urgent = waking.size > 0
  const presence = presenceAfter([], inbox.wake)
  for (const input of pending.inputs) {
    if (input.kind === 'reading' && !waking.has(input.name) && !waking.has(ALL)) {
      mergeInput(pending, input)
      continue
    }
    if (input.kind === 'reported' && !waking.has(REPORTED)) continue
    kept.push(input)
    if (isUrgentInput(inbox.wake, input, presence)) urgent = true
    take(presence, input)
  }
  pending.inputs = kept
  pending.urgent = urgent
  pending.open = [...waking]
}

/** `presence`: after the inputs before it. */
function isUrgentInput(wake: Wake, input: TwinInput, { expected }: Expected): boolean {
  if (input.kind === 'hello') return isUrgent(wake, input, expected)
  return input.kind !== 'update-step' || wake.isBack === true
}
