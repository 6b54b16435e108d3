/** Hellos that say nothing new: a device may send one with each breath, and its inbox does not grow by them. */
import type { Firmware, Health, TwinInput, Wake } from './types.ts'

export type Hello = Extract<TwinInput, { kind: 'hello' }>

/** It tells of firmware or health what the twin does not know. */
export function differs(wake: Wake, firmware: Firmware | undefined, health: Health | undefined): boolean {
  return (firmware !== undefined && firmware.version !== wake.firmware) || (health !== undefined && health.ok !== wake.healthOk)
}

/**
 * However chatty the device: of hellos that say the same again and again only the first, which may decide something, and the last are
 * kept, the first for its time and the last for its numbers. The place of the one that `hello` replaces.
 */
export function lastRepeated(inputs: TwinInput[], hello: Hello, full: boolean): number | undefined {
  const at = inputs.findLastIndex(isOfPresence)
  const last = inputs[at]
  if (last?.kind !== 'hello') return undefined
  if (full) return at
  const first = inputs.slice(0, at).findLast(isOfPresence)
  return first?.kind === 'hello' && repeats(last, first) && repeats(hello, last) ? at : undefined
}

/** Presence is decided on it. */
export function isOfPresence({ kind }: TwinInput): boolean {
  return kind === 'hello' || kind === 'life' || kind === 'silent'
}

/** What it says beside its status; the next one may leave it out. */
export function wordsOf({ firmware, health }: Hello): Pick<Hello, 'firmware' | 'health'> {
  return { ...(firmware && { firmware }), ...(health && { health }) }
}

/** Nothing would be decided on it after the one before, and that one says all that it says. */
function repeats(hello: Hello, before: Hello): boolean {
  const { firmware, health } = hello
  return (
    hello.status === before.status &&
    hello.will === before.will &&
    (firmware === undefined || (firmware.version === before.firmware?.version && firmware.sha256 === before.firmware.sha256)) &&
    (health === undefined || (health.ok === before.health?.ok && JSON.stringify(health.errors) === JSON.stringify(before.health.errors)))
  )
}
