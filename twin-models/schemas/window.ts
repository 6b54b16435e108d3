/** A span of the day that comes again: when devices may be updated, a rule applies, people are not to be woken. */
import { IANAZone } from 'luxon'
import { z } from 'zod'
import { WEEKDAYS } from '../core/rollout-types.ts'

const clock = (most: string) => new RegExp(`^(([01]\\d|2[0-3]):[0-5]\\d${most})$`)
export const windowSchema = z
  .strictObject({
    from: z.string().regex(clock(''), 'must be a time from 00:00 to 23:59'),
    to: z.string().regex(clock('|24:00'), 'must be a time from 00:00 to 24:00'),
    days: z
      .array(z.enum(WEEKDAYS, `must be one of ${WEEKDAYS.join(', ')}`))
      .min(1, 'must name a day')
      .refine((days) => new Set(days).size === days.length, 'must name each day once')
      .optional(),
    timeZone: z
      .string()
      .max(64)
      .refine((zone) => IANAZone.isValidZone(zone), 'must be an IANA time zone like Europe/Berlin')
      .optional(),
  })
  .refine(({ from, to }) => from !== to, { path: ['to'], message: 'must be another time than from: the whole day is 00:00 to 24:00' })
