/**
 * What is asked of a ticket, looked at without zod, which workflows do not have: the arguments of the Updates in the Temporal UI, which are the same
 * that schemas/ticket-arguments.ts takes over REST, and what comes as a signal.
 */
import { TICKET_ACTIONS, TICKET_LIMITS, type TicketAction, type TicketAsk } from './core/ticket-types.ts'
import { parseDuration } from './durations.ts'
import { jsonProblem } from './json-problem.ts'

/** `argument`: the one JSON object. */
export function ticketAskOf(action: TicketAction, argument: unknown): { ask: TicketAsk; problem?: undefined } | { problem: string } {
  if (typeof argument !== 'object' || argument === null || Array.isArray(argument))
    return { problem: `${action} takes a JSON object: {${MEMBERS[action].map((name) => `"${name}": …`).join(', ')}}.` }
  const unsafe = jsonProblem(argument)
  if (unsafe) return { problem: `The argument of ${action} cannot be taken: ${unsafe.path || 'it'} ${unsafe.detail}.` }
  const given = argument as { [name: string]: unknown }
  const names = MEMBERS[action]
  for (const name of Object.keys(given))
    if (!(names as string[]).includes(name)) return { problem: `${action} takes no ${name.slice(0, 100)}: it takes ${names.join(', ')}.` }
  for (const name of names) {
    const { is, what } = CHECKS[name]
    if (given[name] === undefined ? NEEDED[action].includes(name) : !is(given[name])) return { problem: `${name} must be ${what}.` }
  }
  const { at, for: lasting, ...same } = given
  const times = {
    ...(at !== undefined && { at: Date.parse(at as string) }),
    ...(lasting !== undefined && { forMs: parseDuration(lasting as string) }),
  }
  return { ask: { action, ...same, ...times } as TicketAsk }
}

/** What came as a signal, already parsed: by REST, or by hand. */
export function isTicketAsk(ask: unknown): ask is TicketAsk {
  if (typeof ask !== 'object' || ask === null || jsonProblem(ask)) return false
  const { action, at, forMs, ...same } = ask as { [name: string]: unknown }
  if (!(TICKET_ACTIONS as readonly unknown[]).includes(action)) return false
  if (at !== undefined && !Number.isSafeInteger(at)) return false
  if (forMs !== undefined && !isWithin(forMs, TICKET_LIMITS.maintenanceMs)) return false
  const needed = NEEDED[action as TicketAction].filter((name) => name !== 'at')
  return needed.every((name) => same[name] !== undefined) && Object.entries(same).every(([name, value]) => CHECKS[name as Name]?.is(value))
}

type Name = 'by' | 'note' | 'to' | 'at' | 'for'
const MEMBERS: { [action in TicketAction]: Name[] } = {
  accept: ['by', 'note'],
  reassign: ['by', 'to', 'note'],
  schedule: ['by', 'at', 'note'],
  start: ['by', 'for', 'note'],
  done: ['by', 'note'],
  comment: ['by', 'note'],
  cancel: ['by', 'note'],
  reopen: ['by', 'note'],
}
const NEEDED: { [action in TicketAction]: Name[] } = {
  ...{ accept: ['by'], reassign: ['by'], schedule: ['by', 'at'], start: ['by'], done: ['by'], cancel: ['by'] },
  ...{ comment: ['by', 'note'], reopen: ['by', 'note'] },
}

const { by, note, maintenanceMs } = TICKET_LIMITS
const isName = (value: unknown): boolean => typeof value === 'string' && NAME.test(value)
const NAME = /^[^\p{Cc}]{1,200}$/u
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

const CHECKS: { [name in Name]: { is(value: unknown): boolean; what: string } } = {
  by: { is: isName, what: `who says so, 1 to ${by} characters in one line` },
  to: { is: isName, what: `the name of a target, 1 to ${by} characters in one line` },
  note: {
    is: (value) => typeof value === 'string' && value.trim() !== '' && value.length <= note,
    what: `a text of 1 to ${note} characters`,
  },
  at: {
    is: (value) => typeof value === 'string' && TIME.test(value) && !Number.isNaN(Date.parse(value)),
    what: 'a time with its zone, like 2026-11-26T14:00:00Z',
  },
  for: {
    is: (value) => typeof value === 'string' && isWithin(parseDuration(value), maintenanceMs),
    what: 'a duration like 2h, at most 30d',
  },
}

function isWithin(ms: unknown, { least, most }: { least: number; most: number }): boolean {
  return typeof ms === 'number' && ms >= least && ms <= most
}
