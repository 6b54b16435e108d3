/**
 * What one asks for with a ticket that is opened by hand: over REST, or as the one JSON object with which an operator starts `maintenanceTicket` in
 * the Temporal UI. Rules open theirs by the same fields.
 */
import { z } from 'zod'
import { SEVERITIES } from '../core/rule-types.ts'
import { DEFAULT_DEADLINES, DEFAULT_VERIFY_MS, type Deadlines, TICKET_LIMITS } from '../core/ticket-types.ts'
import { ID_PATTERN } from '../ids.ts'
import { durationWithin, personName } from './ticket-arguments.ts'

const { title, text, onCall, acceptMs, doneMs, verifyForMs } = TICKET_LIMITS

/** In one line, since it is the subject of messages. */
const ticketTitle = z
  .string('must be a text')
  .regex(/^[^\p{Cc}]+$/u, 'must have a character, and stand in one line')
  .max(title, `must have at most ${title} characters`)
const onCallList = z
  .array(personName, 'must be a list of targets')
  .max(onCall, `must name at most ${onCall} targets`)
  .refine((targets) => new Set(targets).size === targets.length, 'must not name a target twice')

const deadline = z.strictObject({ accept: durationWithin(acceptMs).optional(), done: durationWithin(doneMs).optional() })
/** Of the severities that others than the usual are for. */
const ticketDeadlines = z.strictObject(
  Object.fromEntries(SEVERITIES.map((severity) => [severity, deadline.optional()])) as Record<
    (typeof SEVERITIES)[number],
    z.ZodOptional<typeof deadline>
  >,
)

export const ticketRequest = z.strictObject({
  device: z.string('must be the id of a device').regex(ID_PATTERN, 'must be the id of a device'),
  title: ticketTitle,
  text: z.string('must be a text').max(text, `must have at most ${text} characters`).default(''),
  severity: z.enum(SEVERITIES).default('minor'),
  /** Whose alarms tell whether it is repaired. */
  rule: z.string('must be the name of a rule').regex(ID_PATTERN, 'must be the name of a rule').optional(),
  onCall: onCallList.default([]),
  predict: z.string('must be the name of a model').regex(ID_PATTERN, 'must be the name of a model').optional(),
  verifyFor: durationWithin(verifyForMs).default(DEFAULT_VERIFY_MS),
  deadlines: ticketDeadlines.default({}),
})
export type TicketRequest = z.output<typeof ticketRequest>

/** With the usual ones where nothing else was said. */
export function deadlinesOf(given: z.output<typeof ticketDeadlines>): Deadlines {
  return Object.fromEntries(
    SEVERITIES.map((severity) => {
      const usual = DEFAULT_DEADLINES[severity]
      return [severity, { acceptMs: given[severity]?.accept ?? usual.acceptMs, doneMs: given[severity]?.done ?? usual.doneMs }]
    }),
  ) as Deadlines
}
