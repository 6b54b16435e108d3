/** The twin document in OpenAPI (docs/architecture.md §10). */
import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { delta, desiredPart, jsonObject } from './desired-document.ts'
import { attributes, deviceId, jsonValue, time } from './schemas.ts'

const presence = z.object({
  status: z.enum(['online', 'offline', 'never']),
  since: time.optional(),
  lastSeenAt: time.optional(),
  reason: z.string().optional(),
  connected: z.boolean().openapi({ description: 'It holds an MQTT connection now.' }),
})

const telemetryValue = z
  .object({
    value: jsonValue,
    unit: z.string().optional(),
    ts: time,
    receivedAt: time,
    messageId: z.string().optional(),
    stale: z.boolean().openapi({ description: 'Not received for longer than the presence timeout of the model.' }),
  })
  .openapi('TelemetryValue')

const range = z.object({ status: z.enum(['normal', 'low', 'high']), since: time, value: z.number(), ts: time })

const clock = z.object({
  status: z.enum(['ok', 'ahead', 'unset']),
  driftMs: z
    .number()
    .optional()
    .openapi({ description: 'How far it is ahead of ours; below zero it is behind, or late. Exact to ten seconds.' }),
})

const update = z.object({
  id: z.string(),
  rollout: z.string().optional(),
  firmware: z.object({ version: z.string(), sha256: z.string() }),
  status: z.enum(['scheduled', 'soaking']).openapi({ description: 'As the twin decided. How far the device is: `/v1/updates/{id}`.' }),
  attempt: z.int(),
  since: time,
  deadline: time.openapi({ description: 'When the twin looks at it next.' }),
  code: z.string().optional().openapi({ description: 'Why the attempt before failed, or why it waits.' }),
})

const alarm = z
  .object({
    id: z.string().openapi({ example: '7-3' }),
    n: z.int().openapi({ description: 'Which alarm of the device.' }),
    rule: z.string(),
    version: z.int().openapi({ description: 'Of the rule.' }),
    severity: z.enum(SEVERITIES),
    status: z.enum(['raised', 'acknowledged']),
    text: z.string(),
    since: time,
    raisedAt: time,
    count: z.int(),
    flapping: z.literal(true).optional(),
    muted: z.literal(true).optional(),
    acknowledged: z.object({ at: time, by: z.string(), note: z.string().optional() }).optional(),
    shelvedUntil: time.optional(),
    assignee: z.string().optional(),
    values: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])),
  })
  .openapi('OpenAlarm')

const repair = z.object({
  until: time,
  by: z.string().openapi({ description: 'Who, or the id of the ticket.' }),
  ticket: z.literal(true).optional().openapi({ description: 'It is a ticket’s, and ends with its repair.' }),
  reason: z.string().optional(),
})
export const maintenance = repair
  .extend({
    since: time.openapi({ description: 'Since when the device is in maintenance.' }),
    others: z.array(repair).optional().openapi({ description: 'Repairs that go on meanwhile and end sooner.' }),
  })
  .openapi('Maintenance', {
    description: 'It lasts until the last of its repairs has ended; that one is shown, and the others with it.',
    example: { since: '2026-11-21T06:00:00.000Z', until: '2026-11-21T08:00:00.000Z', by: 'admin', reason: 'A new bearing' },
  })

export const twinSchema = z
  .object({
    id: deviceId,
    tenant: z.string(),
    model: z.string(),
    modelVersion: z.string(),
    revision: z.int().openapi({ description: 'Counts decisions.' }),
    status: z.literal('active'),
    attributes,
    presence,
    telemetry: z.record(z.string(), telemetryValue),
    ranges: z.record(z.string(), range).optional().openapi({ description: 'Properties that have a normal range in the model.' }),
    reported: z
      .object({
        state: jsonObject.openapi({ description: 'What the device says it is configured as.' }),
        metadata: z
          .record(z.string(), z.object({ ts: time }))
          .openapi({ description: 'Since when each single value is so, by JSON pointer.' }),
      })
      .optional()
      .openapi({ description: 'Once it reported something.' }),
    desired: desiredPart.optional().openapi({ description: 'Once something was wished.' }),
    delta: delta.optional(),
    firmware: z.object({ version: z.string(), sha256: z.string().optional() }).optional(),
    health: z
      .object({
        ok: z.boolean(),
        battery: z.number().optional(),
        rssi: z.number().optional(),
        errors: z.array(z.string()).optional(),
      })
      .optional(),
    update: update.optional().openapi({ description: 'The firmware update that is under way.' }),
    alarms: z.array(alarm).openapi({ description: 'Those that were not cleared; all of them: `/v1/alarms`.' }),
    maintenance: maintenance.optional().openapi({ description: 'While somebody repairs it: of what its rules find nobody is told.' }),
    clock: clock.optional().openapi({ description: 'Absent until a message had a time of its own.' }),
    createdAt: time,
    updatedAt: time.openapi({ description: 'Registered, changed or decided; telemetry has times of its own.' }),
  })
  .openapi('Twin')
