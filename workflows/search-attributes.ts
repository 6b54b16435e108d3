/**
 * The search attributes of twins, once: set by whoever starts one (no event), upserted by the twin only when they change (one event).
 * The server must know them: infra/temporal registers all of `SEARCH_ATTRIBUTES`.
 */
import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common'
import type { TwinState } from '../twin-models/core/types.ts'

/** `CurrentStatus`, since STATUS is a keyword in queries of Temporal's list. */
export const SEARCH_ATTRIBUTES = {
  tenant: defineSearchAttributeKey('Tenant', 'KEYWORD'),
  device: defineSearchAttributeKey('DeviceId', 'KEYWORD'),
  model: defineSearchAttributeKey('Model', 'KEYWORD'),
  firmware: defineSearchAttributeKey('Firmware', 'KEYWORD'),
  presence: defineSearchAttributeKey('Presence', 'KEYWORD'),
  status: defineSearchAttributeKey('CurrentStatus', 'KEYWORD'),
  rollout: defineSearchAttributeKey('RolloutId', 'KEYWORD'),
} as const

/**
 * For the start options of a twin. Nearly every first batch begins with a sign of life, so `online` is what the first decision will
 * most likely say: the twin corrects it where it does not.
 */
export function firstSearchAttributes(key: { tenant: string; device: string }, model: string): SearchAttributePair[] {
  return [
    { key: SEARCH_ATTRIBUTES.tenant, value: key.tenant },
    { key: SEARCH_ATTRIBUTES.device, value: key.device },
    { key: SEARCH_ATTRIBUTES.model, value: model },
    { key: SEARCH_ATTRIBUTES.presence, value: 'online' },
    { key: SEARCH_ATTRIBUTES.status, value: 'active' },
  ]
}

/** What they should say of a twin; null where there is nothing to say. Its status stays what it was started with. */
export function searchAttributesOf(key: { tenant: string; device: string }, state: TwinState) {
  return [
    { key: SEARCH_ATTRIBUTES.tenant, value: key.tenant },
    { key: SEARCH_ATTRIBUTES.device, value: key.device },
    { key: SEARCH_ATTRIBUTES.model, value: state.settings.model || null },
    { key: SEARCH_ATTRIBUTES.firmware, value: state.firmware?.version.slice(0, 255) ?? null },
    { key: SEARCH_ATTRIBUTES.presence, value: state.presence.status },
  ]
}
