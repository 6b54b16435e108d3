/** What twins decide, as REST shows it: times as RFC 3339 instead of epoch milliseconds. */
import { z } from '@hono/zod-openapi'
import { maintenancePart } from '../../twin-models/core/decided.ts'
import type { Maintenance, TwinEvent } from '../../twin-models/core/types.ts'
import type { DecidedEvent } from '../ports.ts'
import { iso, time } from './schemas.ts'

type Kind = TwinEvent['kind']

/** Every kind, told by the compiler when one is missing. */
const KINDS: { [kind in Kind]: true } = {
  configured: true,
  'presence-changed': true,
  'range-changed': true,
  'firmware-changed': true,
  'health-changed': true,
  'device-event': true,
  'desired-changed': true,
  'desired-acknowledged': true,
  'desired-converged': true,
  'desired-diverged': true,
  'desired-conflict': true,
  'reported-changed': true,
  'command-requested': true,
  'command-released': true,
  'command-ended': true,
  'command-late': true,
  'update-requested': true,
  'update-released': true,
  'update-postponed': true,
  'update-awaited': true,
  'update-soaking': true,
  'update-ended': true,
  'rules-changed': true,
  'alarm-raised': true,
  'alarm-updated': true,
  'alarm-acknowledged': true,
  'alarm-shelved': true,
  'alarm-assigned': true,
  'alarm-commented': true,
  'alarm-cleared': true,
  'maintenance-changed': true,
}
export const EVENT_KINDS = Object.keys(KINDS) as [Kind, ...Kind[]]

export const eventSchema = z
  .looseObject({
    time: time.openapi({ description: 'When it was decided.' }),
    revision: z.int().openapi({ description: 'The decision: several events may be of one.' }),
    kind: z.enum(EVENT_KINDS),
    at: time.openapi({ description: 'The moment it is of: when the message that caused it was received, say.' }),
    cause: z
      .looseObject({
        by: z.enum(['message', 'request', 'lane', 'timer']),
        messageId: z.string().optional(),
        request: z.string().optional(),
        who: z.string().optional(),
      })
      .openapi({ description: 'A message, a request over REST, silence that the lane noticed, or the twin’s own timer.' }),
  })
  .openapi('TwinEvent', {
    description: 'With the fields of its kind; where something changed, `before` and `after`.',
    example: {
      time: '2026-11-21T06:00:00.180Z',
      revision: 7,
      kind: 'presence-changed',
      at: '2026-11-21T06:00:00.120Z',
      before: 'offline',
      after: 'online',
      reason: 'message',
      cause: { by: 'message', messageId: 'm-17' },
    },
  })

/** `revision` null: no twin decided it. */
export function eventJson({
  time,
  revision,
  kind,
  event,
  cause,
}: Omit<DecidedEvent, 'n' | 'revision'> & { revision: number | null }): string {
  return JSON.stringify({
    time: iso(time),
    ...(revision !== null && { revision }),
    kind,
    ...withTimes(JSON.parse(event)),
    cause: JSON.parse(cause),
  })
}

interface StoredEvent {
  at: number
  ts?: number
  deadlineAt?: number | { [pointer: string]: number }
  until?: number | null
  giveUpAt?: number
  returnsBy?: number
  command?: { expiresAt: number }
  update?: { offerUntil: number; windows?: Array<[from: number, until: number]> }
  alarm?: { since: number; raisedAt: number }
  maintenance?: Maintenance | null
}

function withTimes({ at, ts, deadlineAt, until, giveUpAt, returnsBy, command, update, alarm, maintenance, ...rest }: StoredEvent): object {
  return {
    at: iso(at),
    ...(ts !== undefined && { ts: iso(ts) }),
    ...rest,
    ...(deadlineAt !== undefined && { deadlineAt: typeof deadlineAt === 'number' ? iso(deadlineAt) : isoTimes(deadlineAt) }),
    ...(until !== undefined && { until: until === null ? null : iso(until) }),
    ...(giveUpAt !== undefined && { giveUpAt: iso(giveUpAt) }),
    ...(returnsBy !== undefined && { returnsBy: iso(returnsBy) }),
    ...(update && { update: updateWithTimes(update) }),
    ...(alarm && { alarm: { ...alarm, since: iso(alarm.since), raisedAt: iso(alarm.raisedAt) } }),
    ...(maintenance !== undefined && { maintenance: maintenance && maintenancePart(maintenance) }),
    ...(command && { command: { ...command, expiresAt: iso(command.expiresAt) } }),
  }
}

function updateWithTimes({ offerUntil, windows, ...rest }: NonNullable<StoredEvent['update']>): object {
  return { ...rest, offerUntil: iso(offerUntil), ...(windows && { windows: windows.map((window) => window.map(iso)) }) }
}

function isoTimes(times: { [pointer: string]: number }): { [pointer: string]: string } {
  return Object.fromEntries(Object.entries(times).map(([pointer, ms]) => [pointer, iso(ms)]))
}
