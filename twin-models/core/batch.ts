/** What of a pending goes into the next seal: all of it, or as much as a signal may hold; what does not fit stays pending. */
import type { Pending } from './inbox.ts'
import { type MergedTuple, unpack } from './merged.ts'
import type { Batch, Merged, TwinInput } from './types.ts'

/** A batch, and so a signal, is at most this long (JSON characters). What does not fit stays pending. */
export const BATCH_LIMIT = 128 * 1024

export function takeBatch(pending: Pending): { batch: Batch; rest: Pending | null } {
  const merged: { [name: string]: Merged } = {}
  let length = 200
  const left: { [name: string]: MergedTuple } = {}
  for (const [name, tuple] of Object.entries(pending.merged)) {
    const entry = unpack(tuple, pending.since)
    const size = JSON.stringify(entry).length + name.length + 8
    if (length + size > BATCH_LIMIT) left[name] = tuple
    else {
      merged[name] = entry
      length += size
    }
  }
  let taken = 0
  for (const input of pending.inputs) {
    length += JSON.stringify(input).length + 1
    if (length > BATCH_LIMIT && taken > 0) break
    taken++
  }
  // What was received after the inputs that are left counts with them: here it would undo a silence or a goodbye that it follows.
  const lastSeenAt = taken < pending.inputs.length ? lastReceipt(pending.inputs.slice(0, taken)) : pending.lastSeenAt
  const batch: Batch = { messages: pending.messages, lastSeenAt, merged, inputs: pending.inputs.slice(0, taken) }
  if (pending.trace !== undefined) batch.trace = pending.trace
  const inputs = pending.inputs.slice(taken)
  if (inputs.length === 0 && Object.keys(left).length === 0) return { batch, rest: null }
  const open = inputs.length === 0 ? [] : pending.open
  const { since } = pending
  return { batch, rest: { since, urgent: inputs.length > 0, messages: 0, lastSeenAt: pending.lastSeenAt, merged: left, inputs, open } }
}

/** Inputs that are a message of the device. */
const RECEIPTS: ReadonlySet<string> = new Set<TwinInput['kind']>([
  'life',
  'reading',
  'event',
  'reported',
  'command-answer',
  'update-answer',
  'update-step',
])

function lastReceipt(inputs: TwinInput[]): number {
  let last = 0
  for (const input of inputs) {
    const isReceipt = RECEIPTS.has(input.kind) || (input.kind === 'hello' && !input.will)
    if (isReceipt && input.at > last) last = input.at
  }
  return last
}
