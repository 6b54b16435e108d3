/** Webhooks and their deliveries as REST shows them. Of secrets and credentials nothing is shown but that they are there. */
import { z } from '@hono/zod-openapi'
import type { DeliveryRow, Webhook } from '../webhook-ports.ts'
import { eventId } from '../webhooks/body.ts'
import { iso, time } from './schemas.ts'

export const webhookSchema = z
  .object({
    id: z.uuid(),
    status: z.enum(['active', 'paused', 'disabled']),
    reason: z.string().optional().openapi({ description: 'Why it is disabled.' }),
    url: z.string(),
    types: z.array(z.string()),
    filter: z.string().optional(),
    system: z.string().optional().openapi({ description: 'It is not told what this system said of tickets.' }),
    form: z.enum(['standard', 'cloudevents']),
    headers: z.record(z.string(), z.string()),
    auth: z
      .object({ kind: z.enum(['bearer', 'basic']) })
      .optional()
      .openapi({ description: 'What it is, is never shown.' }),
    ordered: z.boolean(),
    perSecond: z.number(),
    atOnce: z.int(),
    description: z.string(),
    oldSecretUntil: time.optional().openapi({ description: 'Until then the secret before signs too.' }),
    health: z.object({
      failures: z.int().openapi({ description: 'In a row.' }),
      failingSince: time.optional(),
      nextProbeAt: time.optional().openapi({ description: 'It fails too much: until then nothing is sent, then one event.' }),
      waiting: z.object({
        count: z.int().openapi({ description: 'Events that are for it and not delivered yet, as far as was counted.' }),
        more: z.boolean().openapi({ description: 'There may be more.' }),
      }),
      missed: z.int().openapi({ description: 'Events that were no longer kept when their turn came.' }),
    }),
    createdAt: time,
    updatedAt: time,
  })
  .openapi('Webhook')

export const secretSchema = z.string().openapi({ description: 'Signs what is sent. Shown this once.', example: 'whsec_c2VjcmV0Li4u' })

export const attemptSchema = z
  .object({
    at: time,
    ms: z.number(),
    status: z.int().optional().openapi({ description: 'Of the answer.' }),
    answer: z.string().optional().openapi({ description: 'Its first kilobyte.' }),
    error: z.string().optional().openapi({ description: 'Why there was no answer.' }),
  })
  .openapi('WebhookAttempt')

export const deliveryStatuses = z.enum(['delivered', 'retrying', 'behind', 'failed', 'skipped'])

export const deliverySchema = z
  .object({
    event: z.string().openapi({ description: 'Id of the event, as in `webhook-id`.', example: 'evt_18231' }),
    type: z.string(),
    time: time.openapi({ description: 'Of the event.' }),
    device: z.string().optional(),
    status: deliveryStatuses.openapi({ description: '`behind`: waits for another of its device, since the webhook is ordered.' }),
    nextAttemptAt: time.optional(),
    endedAt: time.optional(),
    attempts: z.array(attemptSchema).openapi({ description: 'The newest last.' }),
  })
  .openapi('WebhookDelivery')

export function webhookJson(row: Webhook, now: number): string {
  const { id, status, reason, url, types, filter, system, form, headers, auth, ordered, perSecond, atOnce, description, secrets, health } =
    row
  const oldUntil = Math.max(...secrets.map(({ until = 0 }) => until))
  return JSON.stringify({
    ...{ id, status, ...(reason !== null && { reason }), url, types, ...(filter !== undefined && { filter }) },
    ...{ ...(system !== undefined && { system }), form, headers },
    ...(auth && { auth: { kind: 'bearer' in auth ? 'bearer' : 'basic' } }),
    ...{ ordered, perSecond, atOnce, description, ...(oldUntil > now && { oldSecretUntil: iso(oldUntil) }) },
    health: {
      failures: health.failures,
      ...(health.failingSince !== null && { failingSince: iso(health.failingSince) }),
      ...(health.probeAt !== null && { nextProbeAt: iso(health.probeAt) }),
      waiting: row.waiting,
      missed: row.missed,
    },
    createdAt: iso(row.createdAt),
    updatedAt: iso(row.updatedAt),
  })
}

/** Into the JSON of the answer, and nowhere else. */
export function withSecret(json: string, secret: string): string {
  return `${json.slice(0, -1)},"secret":"${secret}"}`
}

export function deliveryJson({ position, type, at, device, status, nextAt, endedAt, attempts }: DeliveryRow, more: object = {}): string {
  return JSON.stringify({
    ...{ event: eventId(position), type, time: iso(at), ...(device !== '' && { device }), status },
    ...(nextAt !== null && { nextAttemptAt: iso(nextAt) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
    attempts: attempts.map(attemptJson),
    ...more,
  })
}

export function attemptJson({ at, ms, status, answer, error }: DeliveryRow['attempts'][number]): object {
  return {
    ...{ at: iso(at), ms },
    ...(status !== undefined && { status }),
    ...(answer !== undefined && { answer }),
    ...(error !== undefined && { error }),
  }
}
