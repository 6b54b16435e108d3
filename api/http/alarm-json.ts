/** An alarm as REST shows it. */
import { z } from '@hono/zod-openapi'
import { alarmId } from '../../twin-models/core/document.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { ALARM_STATUSES, type AlarmKey, type AlarmRow } from '../alarm-ports.ts'
import { deviceId, iso, time } from './schemas.ts'

const GREATEST = 2 ** 31 - 1

/** `{incarnation}-{n}`. */
export const alarmIdSchema = z
  .string('must be a text')
  .regex(/^[1-9]\d{0,9}-[1-9]\d{0,9}$/, 'an alarm’s id is like 7-3')
  .transform((text): AlarmKey => {
    const [incarnation, n] = text.split('-').map(Number) as [number, number]
    return { incarnation, n }
  })
  .refine(({ incarnation, n }) => incarnation <= GREATEST && n <= GREATEST, 'an alarm’s id is like 7-3')
  .openapi({ type: 'string', example: '7-3' })

export const severitySchema = z.enum(SEVERITIES, `must be one of ${SEVERITIES.join(', ')}`)

export const alarmSchema = z
  .object({
    id: z.string(),
    device: deviceId,
    rule: z.string().openapi({ description: 'Its name.' }),
    version: z.int().openapi({ description: 'Of the rule.' }),
    severity: z.enum(SEVERITIES),
    status: z.enum(ALARM_STATUSES),
    text: z.string().openapi({ description: 'What the rule says, with the values of when its severity changed last.' }),
    since: time.openapi({ description: 'Since when its condition held.' }),
    raisedAt: time.openapi({ description: 'When it had held for long enough.' }),
    updatedAt: time.openapi({ description: 'When something of it changed last, or was said of it.' }),
    count: z.int().openapi({ description: 'How often its condition came back before it was cleared; 1 at first.' }),
    flapping: z.boolean().openapi({ description: 'It comes and goes so often that it stays until it has been away for five minutes.' }),
    muted: z.boolean().openapi({ description: 'Its device is in maintenance: nobody is told.' }),
    acknowledged: z.object({ at: time, by: z.string(), note: z.string().optional() }).optional(),
    shelvedUntil: time.optional().openapi({ description: 'Nobody is told until then.' }),
    assignee: z.string().optional(),
    cleared: z
      .object({
        at: time,
        reason: z.enum(['rule', 'person', 'removed', 'changed']).openapi({
          description:
            '`rule`: its condition is over; `removed`: the rule is no longer for the device, or that was removed; `changed`: the rule is another one now.',
        }),
        by: z.string().optional(),
        note: z.string().optional(),
      })
      .optional(),
    values: z
      .record(z.string(), z.union([z.number(), z.string(), z.boolean()]))
      .openapi({ description: 'What the rule read, by the name of the reading.' }),
  })
  .openapi('Alarm', {
    example: {
      id: '7-3',
      device: 'p-1',
      rule: 'overheating',
      version: 2,
      severity: 'major',
      status: 'acknowledged',
      text: 'Temperature is 83.4 °C',
      since: '2026-11-21T06:00:00.000Z',
      raisedAt: '2026-11-21T06:05:00.000Z',
      updatedAt: '2026-11-21T06:07:12.000Z',
      count: 1,
      flapping: false,
      muted: false,
      acknowledged: { at: '2026-11-21T06:07:12.000Z', by: 'ann', note: 'On my way' },
      values: { temperature: 83.4 },
    },
  })

export function idOf({ incarnation, n }: AlarmKey): string {
  return alarmId(incarnation, n)
}

export function shownAlarm(row: AlarmRow): z.infer<typeof alarmSchema> {
  const { device, rule, version, severity, status, text, count, flapping, muted } = row
  const words = (by: string | null, note: string | null) => ({ ...(by !== null && { by }), ...(note !== null && { note }) })
  return {
    ...{ id: idOf(row), device, rule, version, severity, status, text },
    since: iso(row.since),
    raisedAt: iso(row.raisedAt),
    updatedAt: iso(row.updatedAt),
    ...{ count, flapping, muted },
    ...(row.acknowledgedAt !== null && {
      acknowledged: { at: iso(row.acknowledgedAt), by: row.acknowledgedBy ?? '', ...words(null, row.acknowledgedNote) },
    }),
    ...(row.shelvedUntil !== null && { shelvedUntil: iso(row.shelvedUntil) }),
    ...(row.assignee !== null && { assignee: row.assignee }),
    ...(row.clearedAt !== null && {
      cleared: { at: iso(row.clearedAt), reason: row.clearReason ?? 'rule', ...words(row.clearedBy, row.clearNote) },
    }),
    values: JSON.parse(row.values),
  }
}

export function alarmJson(row: AlarmRow): string {
  return JSON.stringify(shownAlarm(row))
}
