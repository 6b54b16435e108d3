/**
 * What one asks for with a rollout: over REST, or as the one JSON object with which an operator starts `rollout` in the Temporal UI. What the
 * fields mean together stands in twin-models/core/rollout.ts.
 */
import { z } from 'zod'
import { type DeviceSpec, type MaintenanceWindow, ROLLOUT_LIMITS, type RolloutSpec, type WaveRule } from '../core/rollout-types.ts'
import { parseDuration } from '../durations.ts'
import { version } from '../firmware/manifest.ts'
import { ID_PATTERN, NAME_PATTERN } from '../ids.ts'
import { filter } from './filter.ts'
import { windowSchema } from './window.ts'

export type { RolloutSpec } from '../core/rollout-types.ts'

const DEFAULTS = {
  waves: [{ percent: 1 }, { percent: 5 }, { percent: 25 }, { percent: 100 }],
  rollbackWaves: [{ percent: 10 }, { percent: 100 }],
  gate: 0.95,
  failures: { share: 0.1, minimum: 10 },
  soak: '10m',
  offerFor: '7d',
  installTimeout: '1h',
  attempts: 3,
  retryAfter: '1m',
  perSecond: 50,
  atOnce: 10_000,
} as const
const LONGEST_MS = 366 * 86_400_000

const duration = (least: 'may be 0s' | 'above 0s') =>
  z.string('must be a duration like 30s, 5m, 24h').transform((text, context) => {
    const ms = least === 'may be 0s' && /^0(ms|s|m|h|d)$/.test(text) ? 0 : parseDuration(text)
    if (ms === undefined || ms > LONGEST_MS)
      context.addIssue({ code: 'custom', message: `must be a duration like 30s, 5m, 24h, ${least}, at most 366d` })
    return ms ?? 0
  })

function whole(least: number, most: number) {
  return z.int(`must be a whole number from ${least} to ${most}`).min(least).max(most)
}

/** Finer ones could not be counted exactly. */
const share = z
  .number('must be a number from 0 to 1')
  .min(0)
  .max(1)
  .refine((value) => Number(value.toFixed(6)) === value, 'must have at most 6 decimals')
const percent = z
  .number('must be a number above 0, up to 100')
  .gt(0)
  .max(100)
  .refine((value) => Number(value.toFixed(4)) === value, 'must have at most 4 decimals')
const GROUP_NAME = 'must be the name of a group: it begins with a letter or digit and goes on with those or . _ : -, up to 128'
export const groupName = z.string(GROUP_NAME).regex(ID_PATTERN, GROUP_NAME)

const count = whole(1, ROLLOUT_LIMITS.targets)

const waves = wavesOf(z.strictObject({ percent: percent.optional(), count: count.optional(), group: groupName.optional() }))
const rollbackWaves = wavesOf(z.strictObject({ percent: percent.optional(), count: count.optional() }))

function wavesOf(wave: z.ZodType<{ percent?: number | undefined; count?: number | undefined; group?: string | undefined }>) {
  const one = wave.refine((given) => Object.keys(given).length === 1, 'must have one of percent, count and, going forward, group')
  return z
    .array(one, 'must be a list of waves')
    .min(1, 'must have at least one wave')
    .max(ROLLOUT_LIMITS.waves, `must have at most ${ROLLOUT_LIMITS.waves} waves`)
    .transform((given) => given as WaveRule[])
    .superRefine(checkWaves)
}

/** Groups first, since their members are chosen by name and not by the order; percents count all before them, so they rise. */
function checkWaves(given: WaveRule[], context: z.RefinementCtx): void {
  const refuse = (path: Array<string | number>, message: string) => context.addIssue({ code: 'custom', path, message })
  const groups = new Set<string>()
  let percents = 0
  for (const [i, wave] of given.entries()) {
    if (percents === 100) refuse([i], 'comes after 100 percent: nobody would be left for it')
    if ('group' in wave) {
      if (i > groups.size) refuse([i, 'group'], 'must stand before the waves by count and percent')
      if (groups.has(wave.group)) refuse([i, 'group'], 'is there twice')
      groups.add(wave.group)
    }
    if (!('percent' in wave)) continue
    if (wave.percent <= percents && percents < 100)
      refuse([i, 'percent'], `must be above ${percents}, that of the wave before: percents count from the first device`)
    percents = Math.max(percents, wave.percent)
  }
}

const pace = ROLLOUT_LIMITS.perSecond
export const perSecond = z.number(`must be a number from ${pace.least} to ${pace.most}`).min(pace.least).max(pace.most)
export const atOnce = whole(ROLLOUT_LIMITS.atOnce.least, ROLLOUT_LIMITS.atOnce.most)
export const running = z.enum(['continue', 'cancel'])

export const rolloutRequest = z
  .strictObject({
    name: z.string('must be a text').regex(/^[^\p{Cc}]{1,100}$/u, 'must have 1 to 100 characters, in one line'),
    firmware: z.strictObject({
      name: z.string().regex(NAME_PATTERN, 'must be the name of a firmware'),
      version,
    }),
    /** Whom it is for: this or a group. */
    filter: filter.optional(),
    group: groupName.optional(),
    waves: waves.default([...DEFAULTS.waves]),
    gate: share.default(DEFAULTS.gate),
    failures: z
      .strictObject({
        share: share.default(DEFAULTS.failures.share),
        minimum: whole(1, ROLLOUT_LIMITS.targets).default(DEFAULTS.failures.minimum),
        count: whole(0, ROLLOUT_LIMITS.targets).optional(),
      })
      .prefault({}),
    soak: duration('may be 0s').prefault(DEFAULTS.soak),
    offerFor: duration('above 0s').prefault(DEFAULTS.offerFor),
    installTimeout: duration('above 0s').prefault(DEFAULTS.installTimeout),
    /** Absent: as long as installTimeout. */
    silence: duration('above 0s').optional(),
    attempts: whole(1, 10).default(DEFAULTS.attempts),
    retryAfter: duration('above 0s').prefault(DEFAULTS.retryAfter),
    window: windowSchema.optional(),
    perSecond: perSecond.default(DEFAULTS.perSecond),
    /** Devices that are away hold a place too, until they come or have timed out. */
    atOnce: atOnce.default(DEFAULTS.atOnce),
    /** Of all its devices together. */
    downloadBytesPerSecond: whole(1_024, 1e12).optional(),
    onHalt: running.default('continue'),
    lateJoiners: z.enum(['ignore', 'join']).default('ignore'),
    approval: z.enum(['none', 'one', 'four-eyes']).default('one'),
    rollbackWaves: rollbackWaves.default([...DEFAULTS.rollbackWaves]),
  })
  .superRefine(({ filter, group }, context) => {
    if ((filter === undefined) !== (group === undefined)) return
    const message = filter === undefined ? 'one of filter and group is needed' : 'exactly one of filter and group is needed: both are given'
    context.addIssue({ code: 'custom', path: ['filter'], message })
  })

export function rolloutSpecOf(parsed: z.infer<typeof rolloutRequest>): RolloutSpec {
  const { name, firmware, filter, group, waves, rollbackWaves, gate, failures, perSecond, atOnce, downloadBytesPerSecond, ...rest } = parsed
  const { onHalt, lateJoiners, approval, ...ofDevices } = rest
  const { share, minimum, count } = failures
  return {
    ...{ name, firmware, gate, onHalt, lateJoiners, approval },
    target: group === undefined ? { filter: filter! } : { group },
    waves: toTheLast(waves),
    rollbackWaves: toTheLast(rollbackWaves),
    failures: { share, minimum, ...(count !== undefined && { count }) },
    ...deviceSpecOf(ofDevices),
    pace: { perSecond, atOnce },
    ...(downloadBytesPerSecond !== undefined && { downloadBytesPerSecond }),
  }
}

type OfDevices = Pick<
  z.infer<typeof rolloutRequest>,
  'soak' | 'offerFor' | 'installTimeout' | 'silence' | 'attempts' | 'retryAfter' | 'window'
>

/** Of the update of each device, also where one is updated alone. */
export function deviceSpecOf({ soak, offerFor, installTimeout, silence, attempts, retryAfter, window }: OfDevices): DeviceSpec {
  return {
    soakMs: soak,
    offerMs: offerFor,
    installMs: installTimeout,
    silenceMs: silence ?? installTimeout,
    attempts,
    retryMs: retryAfter,
    ...(window && { window: window as MaintenanceWindow }),
  }
}

/** Waves that do not reach all are followed by one with the rest. */
function toTheLast(waves: WaveRule[]): WaveRule[] {
  const last = waves.at(-1)!
  return 'percent' in last && last.percent === 100 ? waves : [...waves, { percent: 100 }]
}
