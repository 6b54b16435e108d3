/** What a tick put into an inbox of inputs that are neither merged nor dropped there: as its row says, which is how others learn of it. */
import type { InboxChange } from '../../../api/ingest/lane-store.ts'
import type { Batch, TwinInput } from '../../../twin-models/core/types.ts'

type Row = Pick<InboxChange, 'pending' | 'sealed' | 'sealedSeq'>

const KEPT = ['configured', 'rules', 'tick', 'alarm', 'maintenance'] as const
const MENTIONS = new RegExp(`"kind":"(${KEPT.join('|')})"`)

export function newInputs(change: InboxChange, before: Row | undefined): TwinInput[] {
  const isSealed = change.full && change.sealed !== null && change.sealed !== before?.sealed
  const inputs = isSealed ? inputsOf(change.sealed) : []
  // The settings that every first batch begins with come when it is sealed.
  const waiting = [...(isSealed && change.sealedSeq === 1 ? inputs.slice(1) : inputs), ...inputsOf(change.pending)]
  const old = new Map<string, number>()
  for (const { kind } of inputsOf(before?.pending ?? null)) old.set(kind, (old.get(kind) ?? 0) + 1)
  return waiting.filter(({ kind }) => {
    const left = old.get(kind) ?? 0
    if (left > 0) old.set(kind, left - 1)
    return left === 0 && (KEPT as readonly string[]).includes(kind)
  })
}

/** Of these kinds: most rows have none. */
function inputsOf(json: string | null): TwinInput[] {
  return json === null || !MENTIONS.test(json) ? [] : (JSON.parse(json) as Batch).inputs
}
