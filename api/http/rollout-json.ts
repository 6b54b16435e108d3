/** A rollout as REST asks for it and shows it. Waves count from 1, as everywhere that people read of them. */
import { z } from '@hono/zod-openapi'
import { ROLLOUT_STATUSES, type RolloutPreview, type RolloutSpec, type WaveRule } from '../../twin-models/core/rollout-types.ts'
import { summed } from '../../twin-models/core/rollout-waves.ts'
import { formatDuration } from '../../twin-models/durations.ts'
import { rolloutRequest } from '../../twin-models/schemas/rollout.ts'
import type { RolloutLooked, RolloutRow } from '../rollout-ports.ts'
import { UPDATE_ENDS } from '../update-ports.ts'
import { iso, jsonValue, time } from './schemas.ts'

export const newRolloutSchema = rolloutRequest.openapi('NewRollout', {
  description:
    'For the devices of a `filter` or a `group`. `waves` by `percent` of all, by `count` of further devices, or of a canary `group`, which comes first. The next wave begins when `gate` of the current one is healthy; `failures` says when it halts.',
  example: {
    name: 'Thermostats to 1.3.0',
    firmware: { name: 'thermostat', version: '1.3.0' },
    filter: "model = 'thermostat' and attributes.site = 'north'",
    waves: [{ group: 'pilots' }, { percent: 5 }, { percent: 25 }, { percent: 100 }],
    gate: 0.95,
    failures: { share: 0.1, minimum: 10 },
    soak: '10m',
    window: { from: '22:00', to: '05:00' },
    approval: 'four-eyes',
  },
})

const devices = z.int()
const ids = z.array(z.string()).openapi({ description: 'Ids of some.' })
const leftOut = z.array(z.object({ reason: z.string().openapi({ example: 'pinned' }), devices, sample: ids })).openapi({
  description:
    'Who has no part in it, and why: `model`, `hardware`, `pinned` to another version, `already-installed`, `older` (what runs is newer), `from-version` (not to be installed over what runs); on the way back `no-way-back`.',
})
const rule = z.union([z.object({ percent: z.number() }), z.object({ count: z.int() }), z.object({ group: z.string() })])

export const previewSchema = z
  .object({
    found: devices.openapi({ description: 'Devices that the filter or group finds now.' }),
    total: devices.openapi({ description: 'Of those, how many take part.' }),
    waves: z.array(
      z.object({
        ...{ wave: z.int(), rule, devices, sample: ids },
        added: z.literal(true).optional().openapi({
          description: 'Nobody asked for it: waves that end below 100 % are followed by one with the rest. Said where it is asked for.',
        }),
      }),
    ),
    versions: z
      .array(z.object({ version: z.string().nullable(), devices }))
      .openapi({ description: 'What those that take part run now, the most frequent first. Null: unknown.' }),
    leftOut,
  })
  .openapi('RolloutPreview', {
    example: {
      found: 1_010,
      total: 1_000,
      waves: [
        { wave: 1, rule: { percent: 5 }, devices: 50, sample: ['t-17', 't-502'] },
        { wave: 2, rule: { percent: 100 }, devices: 950, sample: ['t-3', 't-811'] },
      ],
      versions: [{ version: '1.2.0', devices: 1_000 }],
      leftOut: [{ reason: 'pinned', devices: 10, sample: ['t-9'] }],
    },
  })

export const rolloutSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    status: z.enum(ROLLOUT_STATUSES).openapi({ description: 'As its workflow said last.' }),
    reason: z.string().optional().openapi({ description: 'Why it halted, or how it ended.' }),
    direction: z.enum(['forward', 'back']),
    wave: z.int().optional().openapi({ description: 'The current one, from 1; of its direction. Absent until its devices are chosen.' }),
    spec: jsonValue.openapi({ description: 'What was asked for, with the defaults: it can be asked for again as it is.' }),
    pace: z
      .object({ perSecond: z.number(), atOnce: z.int() })
      .openapi({ description: 'As it is now: what was asked for, or what `pace` made of it.' }),
    requestedBy: z.string(),
    createdAt: time,
    approvedBy: z.string().optional(),
    startedAt: time.optional().openapi({ description: 'Since when its devices are chosen.' }),
    endedAt: time.optional(),
    asked: z
      .array(z.object({ by: z.string(), action: z.string() }).loose())
      .openapi({ description: 'What was asked of it and its workflow is yet to be told.' }),
  })
  .openapi('Rollout')

const counts = z.object({
  total: devices,
  waiting: devices,
  later: devices.openapi({ description: 'Of those that wait: busy with another update just now.' }),
  underway: devices,
  healthy: devices,
  failed: devices.openapi({ description: 'Failed, rolled back, rejected or timed out.' }),
  silent: devices.openapi({ description: 'Of the failed ones: fell silent after the update.' }),
  left: devices.openapi({ description: 'Skipped, cancelled, away or removed: in no share.' }),
})
const waves = z.array(counts.extend({ wave: z.int(), rule }))

const details = {
  reasons: z
    .array(z.object({ status: z.enum(UPDATE_ENDS), reason: z.string(), devices, sample: ids }))
    .openapi({ description: 'Why devices did not end healthy, the most frequent first.' }),
  sites: z
    .array(z.object({ site: z.string(), failed: devices, judged: devices }))
    .openapi({ description: 'Where (`attributes.site`) far more of those that ended failed than elsewhere.' }),
  leftOut,
}

export const rolloutDetailsSchema = rolloutSchema
  .extend({
    devices: counts.openapi({ description: 'Of all waves of its direction.' }),
    waves,
    rollbackWaves: waves.optional().openapi({ description: 'Once it goes back.' }),
    ...details,
    forward: z
      .object({ devices: counts, ...details })
      .optional()
      .openapi({ description: 'Once it goes back: what its way forward had come to. Its waves are `waves`.' }),
  })
  .openapi('RolloutDetails')

export const previewedRolloutSchema = rolloutSchema
  .extend({ preview: previewSchema.optional().openapi({ description: 'Absent once its devices are chosen.' }) })
  .openapi('PreviewedRollout')

export function shownRollout(row: RolloutRow): object {
  const { id, name, status, reason, isBack, wave, spec, pace, requestedBy, createdAt, approvedBy, startedAt, endedAt, asked } = row
  return {
    ...{ id, name, status, ...(reason !== null && { reason }), direction: isBack ? 'back' : 'forward' },
    ...(startedAt !== null && { wave: wave + 1 }),
    ...{ spec: shownSpec(spec), pace, requestedBy, createdAt: iso(createdAt) },
    ...(approvedBy !== null && { approvedBy }),
    ...(startedAt !== null && { startedAt: iso(startedAt) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
    asked: asked.map(({ by, ask }) => ({ by, ...ask })),
  }
}

export function shownDetails(row: RolloutRow, look: RolloutLooked): object {
  const { spec } = row
  return {
    ...shownRollout(row),
    devices: summed(look.back ?? look.waves),
    waves: shownWaves(spec.waves, look.waves),
    ...(look.back && { rollbackWaves: shownWaves(spec.rollbackWaves, look.back) }),
    ...look.details,
    ...(look.before && { forward: { devices: summed(look.waves), ...look.before } }),
  }
}

/** `asked`: waves that were asked for; one more was added where they do not reach all. */
export function shownPreview({ waves }: RolloutSpec, preview: RolloutPreview, asked = waves.length): object {
  const marked = preview.waves.map((wave, i) => (i < asked ? wave : { ...wave, added: true }))
  return { ...preview, waves: shownWaves(waves, marked) }
}

function shownWaves<Wave extends object>(rules: WaveRule[], waves: Wave[]): object[] {
  return waves.map((wave, i) => ({ wave: i + 1, rule: rules[i], ...wave }))
}

/** As it is asked for. */
export function shownSpec(spec: RolloutSpec): z.input<typeof rolloutRequest> {
  const { target, soakMs, offerMs, installMs, silenceMs, retryMs, pace, ...same } = spec
  const { name, firmware, waves, rollbackWaves, window, ...rest } = same
  return {
    ...{ name, firmware, ...target, waves, rollbackWaves, ...rest },
    soak: soakMs === 0 ? '0s' : formatDuration(soakMs),
    offerFor: formatDuration(offerMs),
    installTimeout: formatDuration(installMs),
    silence: formatDuration(silenceMs),
    retryAfter: formatDuration(retryMs),
    ...(window && { window }),
    ...pace,
  }
}
