/** What those are answered who asked something of a twin: that it is decided, and how. */
import { type AlarmRefusal, alarmRefusal } from './alarms.ts'
import { type CommandRefusal, commandRefusal, openCommand } from './commands.ts'
import type { TwinInput, TwinState } from './types.ts'
import { updateOutcome } from './updates.ts'
import { type WishRefusal, wishedState } from './wishes.ts'

/** By which decision, and the newest seal that it knew. */
interface Decided {
  revision: number
  seq: number
}
export type WishAnswer = Decided & { version: number } & (WishRefusal | { refused?: never })
export type CommandAnswer = Decided & { id: string } & (CommandRefusal | { refused?: never })
export type CancelAnswer = Decided & { id: string; cancelled: boolean }
/** `refused`: the code of the end that it has already. */
export type UpdateRequestAnswer = Decided & { id: string; refused?: string }

/** `n`: which of its alarms. */
export type AlarmAnswer = Decided & ({ n: number; refused?: never } | AlarmRefusal)

export interface RequestAnswer {
  request: string
  answer: Decided | WishAnswer | CommandAnswer | CancelAnswer | UpdateRequestAnswer | AlarmAnswer
}

/** `before` is the state that it met, `after` the one that it made. Undefined: nobody waits. */
export function answerTo(input: TwinInput, before: TwinState, after: TwinState): RequestAnswer | undefined {
  const { revision, seq } = after
  switch (input.kind) {
    case 'deliver':
      return { request: input.request, answer: { revision, seq } }
    case 'wish': {
      const wished = wishedState(before, input)
      const refusal = 'refused' in wished ? wished : {}
      return { request: input.request, answer: { revision, seq, version: after.desired.version, ...refusal } }
    }
    case 'command':
      return { request: input.request, answer: { revision, seq, id: input.command.id, ...commandRefusal(before, input) } }
    case 'cancel':
      return { request: input.request, answer: { revision, seq, id: input.id, cancelled: openCommand(before, input.id) !== undefined } }
    case 'update': {
      const next = updateOutcome(before, input)
      const refused = next && 'end' in next ? next.end.code : undefined
      return { request: input.request, answer: { revision, seq, id: input.update.id, ...(refused !== undefined && { refused }) } }
    }
    case 'alarm': {
      const refusal = alarmRefusal(before, input)
      return { request: input.request, answer: { revision, seq, ...(refusal ?? { n: before.alarms[input.rule]!.n }) } }
    }
    case 'maintenance':
      return { request: input.request, answer: { revision, seq } }
    case 'cancel-update':
      return { request: input.request, answer: { revision, seq, id: input.id, cancelled: before.update?.id === input.id } }
    default:
      return undefined
  }
}
