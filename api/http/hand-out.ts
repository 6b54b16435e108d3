/** What is due for devices, given to them in the body of an answer: it counts as sent, and its cancels as told. */
import type { Ask, DownlinkStore, OnSent, Pending } from '../downlink.ts'
import { requestJson } from '../downlink.ts'

export const NOTHING: Pending = { desired: null, commands: [], cancels: [], errors: [] }

export type HandOut = (incarnations: number[]) => Promise<Map<number, Pending>>

export function createHandOut(store: DownlinkStore, onSent: OnSent = () => {}): HandOut {
  return async (incarnations) => {
    if (incarnations.length === 0) return new Map()
    const claimed = await store.claim(incarnations.map(askForDue))
    const cancels = [...claimed.values()].flatMap((pending) => pending.cancels)
    if (cancels.length > 0) await store.cancelsTold(cancels)
    for (const { desired, commands } of claimed.values()) {
      if (desired) onSent('desired', desired.attempt)
      for (const { attempt } of commands) onSent('request', attempt)
    }
    for (const _ of cancels) onSent('cancel', 1)
    return claimed
  }
}

function askForDue(incarnation: number): Ask {
  return { incarnation, desired: 'due', commands: 'due', after: 0, cancels: true }
}

export function isNothing({ desired, commands, cancels, errors }: Pending): boolean {
  return desired === null && commands.length + cancels.length + errors.length === 0
}

/** What was claimed now, and of the rest what was handed out before. */
export function together(listed: Pending, handed: Pending = NOTHING): Omit<Pending, 'errors'> {
  const claimed = new Map(handed.commands.map((command) => [command.id, command]))
  const before = listed.commands.filter(({ id, attempt }) => attempt > 0 && !claimed.has(id))
  const commands = [...before, ...claimed.values()].sort((a, b) => a.number - b.number)
  return { desired: handed.desired ?? listed.desired, commands, cancels: handed.cancels }
}

/** What would be pending if it were asked for again at once. */
export function leftOf({ desired, commands }: Pending): Pending {
  return { ...NOTHING, desired, commands: commands.filter(({ repeatable }) => repeatable) }
}

/** Without its braces: members of the answer. */
export function pendingMembers({ desired, commands, cancels, errors }: Pending): string {
  const members = [
    `"commands":[${commands.map((command) => requestJson(command, command.id)).join(',')}]`,
    `"cancels":${JSON.stringify(cancels.map((id) => ({ id })))}`,
  ]
  if (desired) members.unshift(`"desired":${desired.body}`)
  if (errors.length > 0) members.push(`"errors":[${errors.map(({ body }) => body).join(',')}]`)
  return members.join(',')
}
