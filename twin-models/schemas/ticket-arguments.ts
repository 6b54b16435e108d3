/**
 * The arguments with which a person steers a ticket over REST: `POST /v1/tickets/{id}/{action}`. The Updates in the Temporal UI take the same, but that
 * they have to say who (twin-models/ticket-ask.ts). Parsed they are what the pure core takes.
 */
import { z } from 'zod'
import { TICKET_LIMITS, type TicketAction } from '../core/ticket-types.ts'
import { formatDuration, parseDuration } from '../durations.ts'

/** Who does something, or a target. */
export const personName = z
  .string('must be a name')
  .regex(/^[^\p{Cc}]{1,200}$/u, `must have 1 to ${TICKET_LIMITS.by} characters, in one line`)
export const note = z
  .string('must be a text')
  .max(TICKET_LIMITS.note, `must have at most ${TICKET_LIMITS.note} characters`)
  .refine((text) => text.trim() !== '', 'must not be empty')

/** A duration as it is written; gives milliseconds. */
export function durationWithin({ least, most }: { least: number; most: number }) {
  return z.string('must be a duration like 30m').transform((text, context) => {
    const ms = parseDuration(text)
    if (ms !== undefined && ms >= least && ms <= most) return ms
    context.addIssue({
      code: 'custom',
      message: `must be a duration like 30m, 4h or 7d, from ${formatDuration(least)} to ${formatDuration(most)}`,
    })
    return z.NEVER
  })
}

/** A point in time; gives epoch milliseconds. */
export const pointInTime = z.iso
  .datetime({ offset: true, error: 'must be a time with its zone, like 2026-11-26T14:00:00Z' })
  .transform((text) => Date.parse(text))

const who = { by: personName.optional(), note: note.optional() }

export const ticketArguments = {
  accept: z.strictObject(who),
  reassign: z.strictObject({ ...who, to: personName.optional() }),
  schedule: z.strictObject({ ...who, at: pointInTime }),
  start: z
    .strictObject({ ...who, for: durationWithin(TICKET_LIMITS.maintenanceMs).optional() })
    .transform(({ for: forMs, ...same }) => ({ ...same, ...(forMs !== undefined && { forMs }) })),
  done: z.strictObject(who),
  comment: z.strictObject({ ...who, note }),
  cancel: z.strictObject(who),
  reopen: z.strictObject({ ...who, note }),
} satisfies Record<TicketAction, z.ZodType>
