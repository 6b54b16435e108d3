/** Events of rollouts: as with all platform events no twin decides them. Their rows name no device (''). */
import { platformEvent } from './platform-events.ts'
import { about, type Fields, flag, object, oneOf, text, whole } from './schema.ts'

/** Fields that all of them have. `rollback`: it is on its way back. */
interface OfRollout {
  at: number
  rollout: string
  name: string
  firmware: { name: string; version: string }
  rollback?: true
  devices: { total: number; healthy: number; failed: number; left: number }
}

export type RolloutEvent =
  | ({ kind: 'rollout-started' } & OfRollout)
  /** `wave` from 1. */
  | ({ kind: 'rollout-halted'; reason: string; wave: number } & OfRollout)
  | ({ kind: 'rollout-ended'; status: 'completed' | 'cancelled'; reason?: string } & OfRollout)

const OF_ROLLOUT: Fields = {
  rollout: about(text, 'Its id.'),
  name: text,
  firmware: object({ name: text, version: text }),
  'rollback?': about(flag, 'Its devices go back to what they ran before; the counts are of those.'),
  devices: object({
    total: whole,
    healthy: whole,
    failed: whole,
    left: about(whole, 'Had no part in it after all: skipped, cancelled, away.'),
  }),
}
const EXAMPLE = {
  rollout: '5b0f3f3e-6c0a-4c8e-9d55-0c2f6f0f1a11',
  name: 'Thermostats to 1.4.0',
  firmware: { name: 'thermostat', version: '1.4.0' },
}
const CAUSE = { by: 'rollout', who: 'admin' }

export const rolloutStarted = platformEvent('rollout.started', 'rollout-started', {
  description: 'A rollout has chosen its devices and begins with its first wave.',
  fields: OF_ROLLOUT,
  example: { ...EXAMPLE, devices: { total: 1_000, healthy: 0, failed: 0, left: 0 } },
  cause: CAUSE,
})

export const rolloutHalted = platformEvent('rollout.halted', 'rollout-halted', {
  description: 'A rollout was halted, by its limits or by a person: it asks no further device until it is resumed.',
  fields: { ...OF_ROLLOUT, reason: about(text, 'In words.'), wave: about(whole, 'The current one, from 1.') },
  example: {
    ...EXAMPLE,
    devices: { total: 1_000, healthy: 9, failed: 4, left: 0 },
    reason: 'Wave 2: 3 of 12 devices failed, more than 10 %.',
    wave: 2,
  },
  cause: CAUSE,
})

export const rolloutEnded = platformEvent('rollout.ended', 'rollout-ended', {
  description: 'A rollout, or its rollback, has ended.',
  fields: { ...OF_ROLLOUT, status: oneOf('completed', 'cancelled'), 'reason?': about(text, 'How it was cancelled.') },
  example: { ...EXAMPLE, devices: { total: 1_000, healthy: 981, failed: 12, left: 7 }, status: 'completed' },
  cause: CAUSE,
})
