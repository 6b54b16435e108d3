/** What is due for devices, given to them in the body of an answer: it counts as sent, and its cancels as told. */
import type { Ask, DownlinkStore, OnSent, Pending } from '../downlink.ts'
import { requestJson, updateJson } from '../downlink.ts'

export const NOTHING: Pending = { desired: null, commands: [], cancels: [], update: null, updateCancels: [], errors: [] }

export type HandOut = (incarnations: number[]) => Promise<Map<number, Pending>>

export function createHandOut(store: DownlinkStore, onSent: OnSent = () => {}): HandOut {
  return async (incarnations) => {
    if (incarnations.length === 0) return new Map()
    const claimed = await store.claim(incarnations.map(askForDue))
    const cancels = [...claimed.values()].flatMap((pending) => pending.cancels)
    const updateCancels = [...claimed.values()].flatMap((pending) => pending.updateCancels)
    if (cancels.length + updateCancels.length > 0) await store.cancelsTold([...cancels, ...updateCancels])
    for (const { desired, commands, update } of claimed.values()) {
      if (desired) onSent('desired', desired.attempt)
      for (const { attempt } of commands) onSent('request', attempt)
      if (update) onSent('job', update.sends)
    }
    for (const _ of cancels) onSent('cancel', 1)
    for (const _ of updateCancels) onSent('update-cancel', 1)
    return claimed
  }
}

function askForDue(incarnation: number): Ask {
  return { incarnation, desired: 'due', commands: 'due', after: 0, cancels: true, updates: 'due', updateCancels: true }
}

export function isNothing({ desired, commands, cancels, update, updateCancels, errors }: Pending): boolean {
  return desired === null && update === null && commands.length + cancels.length + updateCancels.length + errors.length === 0
}

/** What was claimed now, and of the rest what was handed out before. */
export function together(listed: Pending, handed: Pending = NOTHING): Omit<Pending, 'errors'> {
  const claimed = new Map(handed.commands.map((command) => [command.id, command]))
  const before = listed.commands.filter(({ id, attempt }) => attempt > 0 && !claimed.has(id))
  const commands = [...before, ...claimed.values()].sort((a, b) => a.number - b.number)
  const update = handed.update ?? (listed.update?.sends ? listed.update : null)
  return { desired: handed.desired ?? listed.desired, commands, cancels: handed.cancels, update, updateCancels: handed.updateCancels }
}

/** What would be pending if it were asked for again at once. */
export function leftOf({ desired, commands, update }: Pending): Pending {
  return { ...NOTHING, desired, commands: commands.filter(({ repeatable }) => repeatable), update }
}

/** Without its braces: members of the answer. */
export function pendingMembers({ desired, commands, cancels, update, updateCancels, errors }: Pending): string {
  const members = [
    `"commands":[${commands.map((command) => requestJson(command, command.id)).join(',')}]`,
    `"cancels":${JSON.stringify(cancels.map((id) => ({ id })))}`,
  ]
  if (desired) members.unshift(`"desired":${desired.body}`)
  if (update) members.push(`"update":${updateJson(update)}`)
  if (updateCancels.length > 0) members.push(`"updateCancels":${JSON.stringify(updateCancels.map((id) => ({ id })))}`)
  if (errors.length > 0) members.push(`"errors":[${errors.map(({ body }) => body).join(',')}]`)
  return members.join(',')
}
