/** What one asks for with an update of one device over REST. Durations and defaults are those of rollouts. */
import { z } from 'zod'
import type { MaintenanceWindow } from '../core/rollout-types.ts'
import { ID_PATTERN, NAME_PATTERN } from '../ids.ts'
import { rolloutRequest, version } from './rollout.ts'

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

export interface UpdateSpec {
  device: string
  firmware: { name?: string; version: string }
  kind: 'install' | 'rollback'
  soakMs: number
  offerMs: number
  installMs: number
  silenceMs: number
  attempts: number
  retryMs: number
  window?: MaintenanceWindow
}

export function updateSpecOf(parsed: z.infer<typeof updateRequest>): UpdateSpec {
  const { device, firmware, kind, soak, offerFor, installTimeout, silence, attempts, retryAfter, window } = parsed
  const { name, version } = firmware
  return {
    ...{ device, firmware: { ...(name !== undefined && { name }), version }, kind },
    soakMs: soak,
    offerMs: offerFor,
    installMs: installTimeout,
    silenceMs: silence ?? installTimeout,
    attempts,
    retryMs: retryAfter,
    ...(window && { window: window as MaintenanceWindow }),
  }
}
