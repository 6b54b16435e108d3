/** What one asks for with an update of one device over REST. Durations and defaults are those of rollouts. */
import { z } from 'zod'
import type { DeviceSpec } from '../core/rollout-types.ts'
import { version } from '../firmware/manifest.ts'
import { ID_PATTERN, NAME_PATTERN } from '../ids.ts'
import { deviceSpecOf, rolloutRequest } from './rollout.ts'

const { soak, offerFor, installTimeout, silence, attempts, retryAfter, window } = rolloutRequest.shape

export const updateRequest = z.strictObject({
  device: z.string('must be the id of a device').regex(ID_PATTERN, 'must be the id of a device'),
  firmware: z.strictObject({
    /** Absent: the one of its model that has this version. */
    name: z.string().regex(NAME_PATTERN, 'must be the name of a firmware').optional(),
    version,
  }),
  /** `rollback`: to an older one, which the manifest of what it runs allows. */
  kind: z.enum(['install', 'rollback']).default('install'),
  soak,
  offerFor,
  installTimeout,
  silence,
  attempts,
  retryAfter,
  window,
})

export interface UpdateSpec extends DeviceSpec {
  device: string
  firmware: { name?: string; version: string }
  kind: 'install' | 'rollback'
}

export function updateSpecOf({ device, firmware: { name, version }, kind, ...ofDevice }: z.infer<typeof updateRequest>): UpdateSpec {
  return { device, firmware: { ...(name !== undefined && { name }), version }, kind, ...deviceSpecOf(ofDevice) }
}
