/** A filter, as requests carry it: of the one filter language, and refused with its words. */
import { z } from 'zod'
import { CastorError } from '../errors.ts'
import { FILTER_LIMITS, parseFilter } from '../filter/parse.ts'

export const filter = z
  .string('must be a filter')
  .min(1)
  .max(FILTER_LIMITS.length)
  .superRefine((text, context) => {
    try {
      parseFilter(text)
    } catch (error) {
      if (!(error instanceof CastorError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
    }
  })
