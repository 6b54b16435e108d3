/** What a tick put into an inbox of inputs that are neither merged nor dropped there: as its row says, which is how others learn of it. */
import type { InboxChange, TickChanges } from '../../../api/ingest/lane-store.ts'
import type { Batch, TwinInput } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import type { RuleReference } from './rule-reference.ts'

export class RowInputs {
  /** Devices whose inbox is new. */
  first: number[] = []
  readonly #put = new Map<number, TwinInput[]>()

  /** Of a commit, before it is true. */
  read({ inboxes, removed }: TickChanges, db: MemoryDatabase): void {
    this.#put.clear()
    this.first = []
    for (const change of inboxes) {
      const { incarnation } = change
      if (removed.includes(incarnation)) continue
      const before = db.inbox.get(incarnation)
      const inputs = newInputs(change, before)
      if (inputs.length > 0) this.#put.set(incarnation, inputs)
      if (inputs.length > 0 && !before) this.first.push(incarnation)
    }
  }

  /** Gives the first such input, if there is one. */
  take(ruled: RuleReference, incarnation: number, isMeant: (input: TwinInput) => boolean): void {
    const inputs = this.#put.get(incarnation) ?? []
    const i = inputs.findIndex(isMeant)
    const [input] = i < 0 ? [] : inputs.splice(i, 1)
    if (input?.kind === 'rules') ruled.rules(input)
    else if (input) ruled.give([input])
  }
}

type Row = Pick<InboxChange, 'pending' | 'sealed' | 'sealedSeq'>

const KEPT = ['configured', 'rules', 'tick', 'alarm', 'maintenance'] as const
const MENTIONS = new RegExp(`"kind":"(${KEPT.join('|')})"`)

function newInputs(change: InboxChange, before: Row | undefined): TwinInput[] {
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
