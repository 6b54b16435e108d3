/**
 * The arguments with which a person steers a rollout over REST: `POST /v1/rollouts/{id}/{action}`. The Updates in the Temporal UI take the same
 * (twin-models/rollout-ask.ts).
 */
import { z } from 'zod'
import type { RolloutAction } from '../core/rollout-types.ts'
import { ID_PATTERN } from '../ids.ts'
import { atOnce, perSecond, running } from './rollout.ts'

const nothing = z.strictObject({})
const orElse = z.strictObject({ running: running.optional() })

export const rolloutArguments = {
  approve: z.strictObject({ by: z.string('must be a text').regex(/^[^\p{Cc}]{1,200}$/u, 'must have 1 to 200 characters, in one line') }),
  pause: nothing,
  resume: nothing,
  advance: nothing,
  halt: orElse,
  rollback: z.strictObject({ which: z.enum(['updated', 'failed']).optional() }),
  cancel: orElse,
  pace: z
    .strictObject({ perSecond: perSecond.optional(), atOnce: atOnce.optional() })
    .refine((given) => Object.keys(given).length > 0, 'one of perSecond and atOnce is needed'),
  exclude: z.strictObject({ device: z.string('must be the id of a device').regex(ID_PATTERN, 'must be the id of a device') }),
} satisfies Record<RolloutAction, z.ZodType>
