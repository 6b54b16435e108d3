/** A command as REST shows it. */
import { z } from '@hono/zod-openapi'
import { COMMAND_STATUSES, type CommandRow } from '../command-ports.ts'
import { deviceId, iso, jsonValue, time } from './schemas.ts'

const lateAnswer = z.object({
  at: time,
  status: z.enum(['succeeded', 'failed']),
  output: jsonValue.optional(),
  code: z.string().optional(),
  message: z.string().optional(),
})

export const commandSchema = z
  .object({
    id: z.uuid(),
    device: deviceId,
    name: z.string().openapi({ example: 'diagnose' }),
    input: jsonValue.optional(),
    status: z
      .enum(COMMAND_STATUSES)
      .openapi({ description: '`succeeded`, `failed`, `expired` and `cancelled` are ends; there is exactly one.' }),
    output: jsonValue.optional(),
    code: z.string().optional().openapi({
      description:
        'Why it ended so: the device’s own word, or `unknown` (it was sent once, may not be repeated, and was never answered), `invalid-output`, `too-many-commands`, `cancelled`, `superseded`, `device-removed`.',
    }),
    message: z.string().optional(),
    progress: jsonValue.optional().openapi({ description: 'As the device said it last.' }),
    attempts: z.int().openapi({ description: 'How often it was sent.' }),
    requestedBy: z.string(),
    createdAt: time,
    expiresAt: time,
    releasedAt: time.optional().openapi({ description: 'Since when it may be sent.' }),
    sentAt: time.optional().openapi({ description: 'Last.' }),
    acknowledgedAt: time.optional(),
    endedAt: time.optional(),
    lateAnswers: z.array(lateAnswer).openapi({ description: 'Came after the end, and changed nothing.' }),
  })
  .openapi('Command', {
    example: {
      id: '0d9f0a5e-6f0e-4d1c-9a3b-3b1f2f1c7a11',
      device: 't-1',
      name: 'diagnose',
      status: 'succeeded',
      output: { health: { ok: true }, firmware: { version: '1.2.0' }, uptimeSeconds: 86400, errors: [] },
      attempts: 1,
      requestedBy: 'admin',
      createdAt: '2026-11-21T06:00:00.000Z',
      expiresAt: '2026-11-21T06:05:00.000Z',
      releasedAt: '2026-11-21T06:00:00.040Z',
      sentAt: '2026-11-21T06:00:00.050Z',
      acknowledgedAt: '2026-11-21T06:00:00.090Z',
      endedAt: '2026-11-21T06:00:00.180Z',
      lateAnswers: [],
    },
  })

export function commandJson(row: CommandRow): string {
  const shown: z.infer<typeof commandSchema> = {
    id: row.id,
    device: row.device,
    name: row.name,
    ...(row.input !== null && { input: JSON.parse(row.input) }),
    status: row.status,
    ...(row.output !== null && { output: JSON.parse(row.output) }),
    ...(row.code !== null && { code: row.code }),
    ...(row.message !== null && { message: row.message }),
    ...(row.progress !== null && { progress: JSON.parse(row.progress) }),
    attempts: row.attempts,
    requestedBy: row.requestedBy,
    createdAt: iso(row.createdAt),
    expiresAt: iso(row.expiresAt),
    ...(row.releasedAt !== null && { releasedAt: iso(row.releasedAt) }),
    ...(row.sentAt !== null && { sentAt: iso(row.sentAt) }),
    ...(row.acknowledgedAt !== null && { acknowledgedAt: iso(row.acknowledgedAt) }),
    ...(row.endedAt !== null && { endedAt: iso(row.endedAt) }),
    lateAnswers: lateAnswersOf(row.late),
  }
  return JSON.stringify(shown)
}

function lateAnswersOf(text: string | null): Array<z.infer<typeof lateAnswer>> {
  if (text === null) return []
  return (JSON.parse(text) as Array<z.infer<typeof lateAnswer> & { at: never }>).map((answer) => ({ ...answer, at: iso(answer.at) }))
}
