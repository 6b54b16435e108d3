/** Names of properties: their grammar, and those that nobody may use. */
import { NAME_PATTERN } from './ids.ts'

/** The words of a telemetry message itself. */
const MESSAGE_WORDS = new Set(['id', 'ts', 'ageMs', 'values'])

/** True for names that mean something else already: to the protocol, or (`constructor`, `__proto__`) to every JavaScript object. */
export function isReservedName(name: string): boolean {
  return MESSAGE_WORDS.has(name) || name in Object.prototype
}

export function isPropertyName(name: string): boolean {
  return NAME_PATTERN.test(name) && !isReservedName(name)
}
