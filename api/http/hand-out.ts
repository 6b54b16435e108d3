/** What is due for devices, given to them in the body of an answer: it counts as sent, and its cancels as told. */
import type { Ask, DownlinkStore, OnSent, Pending } from '../downlink.ts'
import { requestJson } from '../downlink.ts'

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

export function isNothing({ desired, commands, cancels }: Pending): boolean {
  return desired === null && commands.length === 0 && cancels.length === 0
}

/** Without its braces: members of the answer. */
export function pendingMembers({ desired, commands, cancels }: Pending): string {
  const members = [
    `"commands":[${commands.map((command) => requestJson(command, command.id)).join(',')}]`,
    `"cancels":${JSON.stringify(cancels.map((id) => ({ id })))}`,
  ]
  if (desired) members.unshift(`"desired":${desired.body}`)
  return members.join(',')
}
