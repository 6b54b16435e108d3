/** An update of one device as REST asks for it and shows it. */
import { z } from '@hono/zod-openapi'
import { updateRequest } from '../../twin-models/schemas/update.ts'
import { UPDATE_STATUSES, type UpdateRow } from '../update-ports.ts'
import { deviceId, iso, jsonValue, time } from './schemas.ts'

export const newUpdateSchema = updateRequest.openapi('NewUpdate', {
  description:
    '`soak` (10m): how long it has to stay healthy; `offerFor` (7d): how long a device that is away may be told; `installTimeout` (1h): from then until it says hello with the new version; `silence` (as installTimeout): an updated one that is away for longer has fallen silent; `attempts` (3), the second one after `retryAfter` (1m), then doubled; `window`: in the device’s time zone.',
  example: { device: 't-1', firmware: { version: '1.3.0' }, soak: '10m', window: { from: '22:00', to: '05:00' } },
})

export const updateSchema = z
  .object({
    id: z.uuid(),
    device: deviceId,
    rollout: z.uuid().optional().openapi({ description: 'Absent: somebody asked for this device alone.' }),
    kind: z.enum(['install', 'rollback']),
    firmware: z.object({ id: z.uuid(), name: z.string(), version: z.string(), sha256: z.string() }),
    from: z
      .object({ version: z.string(), sha256: z.string().optional() })
      .optional()
      .openapi({ description: 'What ran before; absent when that is not known.' }),
    status: z.enum(UPDATE_STATUSES).openapi({ description: '`healthy` and all that come after it are ends; there is exactly one.' }),
    statusAt: time.openapi({ description: 'Since when.' }),
    progress: jsonValue
      .optional()
      .openapi({ description: 'As the device said it last on its way to the new firmware. Absent once it runs that.' }),
    attempt: z.int().openapi({ description: 'From 1; 0 until its device may be told.' }),
    code: z.string().optional().openapi({
      description:
        'Why it ended so, or why its last attempt failed or it waits: the device’s own word, or `already-installed`, `busy`, `from-version`, `away`, `no-window`, `window-over`, `low-battery`, `maintenance`, `silent`, `too-slow`, `unsteady`, `returned`, `unhealthy`, `alarm`, `withdrawn`, `unsigned`, `key-revoked`, `expired`, `hash-mismatch`, `cancelled`, `superseded`, `device-removed`.',
    }),
    message: z.string().optional(),
    requestedBy: z.string(),
    createdAt: time,
    until: time.optional().openapi({ description: 'Its device may be told until then; of the newest attempt.' }),
    sentAt: time.optional().openapi({ description: 'Last, of this attempt.' }),
    answeredAt: time.optional().openapi({ description: 'The device’s first word on this attempt.' }),
    endedAt: time.optional(),
  })
  .openapi('Update', {
    example: {
      id: '7b0d6f1e-3a57-4a1e-9c55-0f4f3c1d2e90',
      device: 't-1',
      kind: 'install',
      firmware: {
        id: '1b7f6f3e-0a53-4c7e-8d35-7f0e2c9d1a44',
        name: 'thermostat',
        version: '1.3.0',
        sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      },
      from: { version: '1.2.0', sha256: '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae' },
      status: 'downloading',
      statusAt: '2026-11-21T06:00:01.210Z',
      progress: 40,
      attempt: 1,
      requestedBy: 'admin',
      createdAt: '2026-11-21T06:00:00.000Z',
      until: '2026-11-28T06:00:00.000Z',
      sentAt: '2026-11-21T06:00:00.050Z',
      answeredAt: '2026-11-21T06:00:00.190Z',
    },
  })

export function updateJson(row: UpdateRow): string {
  const { id, device, rollout, kind, firmware, fromVersion, fromSha256, status, progress, attempt, code, message } = row
  const { requestedBy, createdAt, until, sentAt, answeredAt, statusAt, endedAt } = row
  const shown: z.infer<typeof updateSchema> = {
    ...{ id, device, ...(rollout !== null && { rollout }), kind, firmware },
    ...(fromVersion !== null && { from: { version: fromVersion, ...(fromSha256 !== null && { sha256: fromSha256 }) } }),
    ...{ status, statusAt: iso(statusAt), ...(progress !== null && { progress: JSON.parse(progress) }), attempt },
    ...(code !== null && { code }),
    ...(message !== null && { message }),
    ...{ requestedBy, createdAt: iso(createdAt) },
    ...(until !== null && { until: iso(until) }),
    ...(sentAt !== null && { sentAt: iso(sentAt) }),
    ...(answeredAt !== null && { answeredAt: iso(answeredAt) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
  }
  return JSON.stringify(shown)
}
