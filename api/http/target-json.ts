/** Targets and notices as REST shows them. Of secrets and credentials nothing is shown but that they are there. */
import { z } from '@hono/zod-openapi'
import { WEEKDAYS } from '../../twin-models/core/rollout-types.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { formatDuration } from '../../twin-models/durations.ts'
import { TARGET_FORMS } from '../../twin-models/schemas/target.ts'
import { NOTICE_KINDS } from '../notify/ports.ts'
import { messageId } from '../notify/told.ts'
import type { NoticeRow, Target } from '../notify-ports.ts'
import { iso, time } from './schemas.ts'
import { attemptJson, attemptSchema, authJson, breakerJson } from './webhook-json.ts'

export const severity = z.enum(SEVERITIES)

export const targetSchema = z
  .object({
    name: z.string().openapi({ example: 'ops' }),
    kind: z.enum(['webhook', 'email']),
    url: z.string().optional(),
    form: z.enum(TARGET_FORMS).optional(),
    headers: z.record(z.string(), z.string()).optional(),
    auth: z
      .object({ kind: z.enum(['bearer', 'basic']) })
      .optional()
      .openapi({ description: 'What it is, is never shown.' }),
    oldSecretUntil: time.optional().openapi({ description: 'Until then the secret before signs too.' }),
    to: z.array(z.string()).optional(),
    cc: z.array(z.string()).optional(),
    subjectPrefix: z.string().optional(),
    quietHours: z
      .object({ days: z.array(z.enum(WEEKDAYS)).optional(), from: z.string(), to: z.string(), timeZone: z.string(), atLeast: severity })
      .optional(),
    groupWait: z.string(),
    groupInterval: z.string(),
    perMinute: z.int(),
    description: z.string(),
    health: z.object({
      failures: z.int().openapi({ description: 'In a row.' }),
      failingSince: time.optional(),
      nextProbeAt: time.optional().openapi({ description: 'It fails too much: until then nothing is sent, then one message.' }),
      open: z.object({
        count: z.int().openapi({ description: 'Notices that have not ended, as far as was counted.' }),
        more: z.boolean().openapi({ description: 'There may be more.' }),
      }),
    }),
    createdAt: time,
    updatedAt: time,
  })
  .openapi('Target')

export const noticeStates = z.enum(['waiting', 'held', 'sent', 'failed', 'cancelled'])

export const noticeSchema = z
  .object({
    id: z.int(),
    target: z.string(),
    kind: z.enum(NOTICE_KINDS),
    key: z.string().openapi({ description: 'Of what it is about: the same from the first word to the last.', example: 'alarm:12-3' }),
    alarm: z.string().optional().openapi({ example: '12-3' }),
    device: z.string().optional(),
    rule: z.string().optional(),
    status: z.enum(['firing', 'resolved']),
    state: noticeStates.openapi({ description: '`held`: in quiet hours, or with an alarm that is shelved or muted.' }),
    reason: z.string().optional().openapi({ description: 'Why it is held, was cancelled or has failed.' }),
    severity,
    subject: z.string(),
    text: z.string(),
    createdAt: time,
    dueAt: time,
    heldUntil: time.optional().openapi({ description: 'End of the quiet hours.' }),
    endedAt: time.optional(),
    message: z
      .string()
      .optional()
      .openapi({ description: 'Id of the message that it went out with.', example: 'ntc_3cac08c7-e2c4-417a-b405-e86928a501e2' }),
    counted: z.literal(true).optional().openapi({ description: 'The message had so many that this one was only counted.' }),
    nextAttemptAt: time.optional(),
    attempts: z.array(attemptSchema).openapi({ description: 'Of its message, the newest last. The status of an e-mail is SMTP’s.' }),
  })
  .openapi('Notice')

export function targetJson({ name, settings, auth, secrets, health, open, createdAt, updatedAt }: Target, now: number): string {
  const { groupWaitMs, groupIntervalMs, kind, ...rest } = settings
  const oldUntil = Math.max(0, ...secrets.map(({ until = 0 }) => until))
  return JSON.stringify({
    ...{ name, kind, ...rest },
    ...authJson(auth),
    ...(oldUntil > now && { oldSecretUntil: iso(oldUntil) }),
    ...{ groupWait: durationText(groupWaitMs), groupInterval: durationText(groupIntervalMs) },
    health: {
      ...breakerJson(health),
      open,
    },
    ...{ createdAt: iso(createdAt), updatedAt: iso(updatedAt) },
  })
}

function durationText(ms: number): string {
  return ms === 0 ? '0s' : formatDuration(ms)
}

export function noticeJson(row: NoticeRow): string {
  const { id, target, kind, key, alarm, device, rule, status, state, reason, severity, subject, text, bundle, shown, attempts } = row
  return JSON.stringify({
    ...{ id, target, kind, key, ...(alarm !== null && { alarm }), ...(device !== '' && { device }), ...(rule !== null && { rule }) },
    ...{ status, state, ...(reason !== null && { reason }), severity, subject, text, createdAt: iso(row.createdAt), dueAt: iso(row.dueAt) },
    ...(row.heldUntil !== null && { heldUntil: iso(row.heldUntil) }),
    ...(row.endedAt !== null && { endedAt: iso(row.endedAt) }),
    ...(bundle !== null && { message: messageId(bundle), ...(!shown && { counted: true }) }),
    ...(row.nextAttemptAt !== null && { nextAttemptAt: iso(row.nextAttemptAt) }),
    attempts: attempts.map(attemptJson),
  })
}
