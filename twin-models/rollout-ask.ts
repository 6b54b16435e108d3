/**
 * The arguments with which an operator steers a rollout in the Temporal UI, looked at without zod, which workflows do not have: the same that
 * schemas/rollout-arguments.ts takes over REST.
 */
import { ROLLOUT_LIMITS, type RolloutAction, type RolloutAsk } from './core/rollout-types.ts'
import { ID_PATTERN } from './ids.ts'

/** `argument`: the one JSON object, or nothing. */
export function rolloutAskOf(action: RolloutAction, argument: unknown): { ask: RolloutAsk; problem?: undefined } | { problem: string } {
  const members = MEMBERS[action]
  const names = Object.keys(members)
  if (argument !== undefined && (typeof argument !== 'object' || argument === null || Array.isArray(argument)))
    return { problem: `The argument of ${action} must be a JSON object.` }
  const given = (argument ?? {}) as { [name: string]: unknown }
  for (const [name, value] of Object.entries(given)) {
    if (!names.includes(name)) return { problem: `${action} takes no ${name.slice(0, 100)}: it takes ${names.join(', ') || 'nothing'}.` }
    if (!members[name]!.is(value)) return { problem: `${name} must be ${members[name]!.what}.` }
  }
  const isEmpty = Object.keys(given).length === 0
  if (isEmpty && NEEDED[action])
    return { problem: `${action} needs ${names.join(' or ')}: ${names.map((name) => members[name]!.what).join(', ')}.` }
  return { ask: { action, ...given } as RolloutAsk }
}

interface Member {
  is(value: unknown): boolean
  /** What it must be. */
  what: string
}

const running: Member = { is: (value) => value === 'continue' || value === 'cancel', what: '"continue" or "cancel"' }
const { perSecond, atOnce } = ROLLOUT_LIMITS

const MEMBERS: { [action in RolloutAction]: { [name: string]: Member } } = {
  approve: {
    by: {
      is: (value) => typeof value === 'string' && /^[^\p{Cc}]{1,200}$/u.test(value),
      what: `who approves, 1 to ${ROLLOUT_LIMITS.by} characters in one line`,
    },
  },
  pause: {},
  resume: {},
  advance: {},
  halt: { running },
  rollback: { which: { is: (value) => value === 'updated' || value === 'failed', what: '"updated" or "failed"' } },
  cancel: { running },
  pace: {
    perSecond: {
      is: (value) => typeof value === 'number' && value >= perSecond.least && value <= perSecond.most,
      what: `a number from ${perSecond.least} to ${perSecond.most}`,
    },
    atOnce: {
      is: (value) => Number.isInteger(value) && Number(value) >= atOnce.least && Number(value) <= atOnce.most,
      what: `a whole number from ${atOnce.least} to ${atOnce.most}`,
    },
  },
  exclude: { device: { is: (value) => typeof value === 'string' && ID_PATTERN.test(value), what: 'the id of a device' } },
}
/** Those that mean nothing without one of their members. */
const NEEDED: { [action in RolloutAction]?: true } = { approve: true, pace: true, exclude: true }
