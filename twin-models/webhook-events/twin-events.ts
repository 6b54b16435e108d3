/** Decisions of a twin that have a type of their own. */
import type { JsonObject } from '../core/types.ts'
import {
  about,
  anything,
  dataSchema,
  type EventType,
  type Fields,
  OF_TWIN,
  object,
  oneOf,
  orNull,
  text,
  texts,
  time,
  whole,
  word,
} from './schema.ts'

const presence = oneOf('online', 'offline', 'never')
const presenceReason = word('message', 'hello', 'silence', 'goodbye', 'will', 'backstop')
const path = about(text, 'JSON pointer into the desired state.')
const version = about(whole, 'Of the desired state.')

export const twinOnline = twinEvent('twin.online', 'presence-changed', {
  description: 'A device is there: for the first time, or again.',
  fields: { before: presence, after: { const: 'online' }, reason: presenceReason },
  example: { before: 'offline', after: 'online', reason: 'message' },
  cause: { by: 'message', messageId: 'm-17' },
})

export const twinOffline = twinEvent('twin.offline', 'presence-changed', {
  description: 'A device is gone: it was silent for too long, said goodbye, or its connection broke.',
  fields: { before: presence, after: { const: 'offline' }, reason: presenceReason },
  example: { before: 'online', after: 'offline', reason: 'silence' },
  cause: { by: 'lane' },
})

export const deviceEvent = twinEvent('device.event', 'device-event', {
  description: 'A device said something once: a device event of its model.',
  fields: { name: text, ts: about(time, 'By the device’s clock, as far as that is right.'), data: anything },
  example: { ts: '2026-11-26T21:31:16.000Z', name: 'doorOpened', data: { by: 'key' } },
  cause: { by: 'message', messageId: 'm-19' },
})

export const desiredConverged = twinEvent('desired.converged', 'desired-converged', {
  description: 'A device is as it was wished, at the paths that are named.',
  fields: { version, paths: { ...texts, description: 'JSON pointers into the desired state.' } },
  example: { version: 3, paths: ['/targetTemperature'] },
  cause: { by: 'message', messageId: 'm-20' },
})

export const desiredDiverged = twinEvent('desired.diverged', 'desired-diverged', {
  description: 'A wish will not come true: the device refused it, its deadline passed, or somebody changed it first.',
  fields: {
    version,
    path,
    reason: word('refused', 'deadline', 'other-writer', 'device'),
    'code?': about(text, 'As the device says it.'),
    'message?': text,
    'by?': about(text, 'Who changed it, where another writer did.'),
  },
  example: { version: 3, path: '/targetTemperature', reason: 'refused', code: 'out-of-range', message: 'at most 30' },
  cause: { by: 'message', messageId: 'm-21' },
})

export const desiredConflict = twinEvent('desired.conflict', 'desired-conflict', {
  description: 'A device changed by itself what was wished; `winner` says whose value stays.',
  fields: {
    path,
    desired: anything,
    reported: orNull(anything),
    winner: oneOf('desired', 'device'),
    version: about(whole, 'The desired version from then on.'),
    'deadlineAt?': time,
  },
  example: { path: '/targetTemperature', desired: 21, reported: 24, winner: 'desired', version: 4 },
  cause: { by: 'message', messageId: 'm-22' },
})

export const commandEnded = twinEvent('command.ended', 'command-ended', {
  description: 'A command has its one end.',
  fields: {
    id: about(text, 'Of the command.'),
    name: text,
    status: oneOf('succeeded', 'failed', 'expired', 'cancelled'),
    'output?': anything,
    'code?': text,
    'message?': text,
  },
  example: { id: '0b6fdc53-6a3f-4c0e-9a65-0e5f1f0f2b11', name: 'identify', status: 'succeeded', output: { blinked: 3 } },
  cause: { by: 'message', messageId: 'm-23' },
})

export const updateEnded = twinEvent('update.ended', 'update-ended', {
  description: 'A firmware update has its one end: the device is healthy with it after its soak, or it is not.',
  fields: {
    id: about(text, 'Of the update.'),
    'rollout?': about(text, 'Of its rollout; absent where it was asked for alone.'),
    status: oneOf('healthy', 'failed', 'rolled-back', 'timed-out', 'rejected', 'cancelled', 'skipped'),
    firmware: about(object({ version: text, sha256: text }), 'What it was to get.'),
    from: about(orNull(object({ version: text, 'sha256?': text })), 'What ran before.'),
    'code?': about(text, 'Why; as the device says it, where it failed or rejected.'),
    'message?': text,
  },
  example: {
    id: '9b0c2f5e-6b0e-4c1e-8c55-4c4f0b3f5a10',
    rollout: '51f7d0d2-4d0e-4a4e-9a0b-0d1c5b9e7a11',
    status: 'healthy',
    firmware: { version: '2.1.0', sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' },
    from: { version: '2.0.0' },
  },
  cause: { by: 'timer' },
})

export function twinEvent<Type extends string, Kind extends string>(
  type: Type,
  kind: Kind,
  { description, fields, example, cause }: { description: string; fields: Fields; example: JsonObject; cause: JsonObject },
): EventType & { type: Type; kinds: Kind[] } {
  const when = { time: '2026-11-26T21:31:17.073Z', revision: 7, kind, at: '2026-11-26T21:31:17.072Z' }
  return {
    type,
    description,
    kinds: [kind],
    schema: dataSchema(type, description, { const: kind }, { ...OF_TWIN, ...fields }),
    example: { tenant: 'demo', device: 't-1', ...when, ...example, cause },
  }
}
