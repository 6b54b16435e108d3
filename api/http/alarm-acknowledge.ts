/** POST /v1/alarms/acknowledge: several at once, as when a site has come back. Each is a decision of its own twin. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { AlarmRow } from '../alarm-ports.ts'
import { type AlarmActionDeps, alarmTag, askOf, MAX_BODY_BYTES, note } from './alarm-ask.ts'
import { alarmIdSchema, alarmSchema, idOf, shownAlarm } from './alarm-json.ts'
import type { Endpoints } from './endpoint.ts'
import { preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { jsonContent } from './schemas.ts'
import { refuseUnknown } from './twin-answers.ts'

const MOST_AT_ONCE = 100
const manySchema = z
  .object({
    items: z.array(
      z.object({
        id: z.string(),
        outcome: z
          .enum(['acknowledged', 'cleared', 'waiting', 'not-found'])
          .openapi({ description: '`cleared`: it is over; `waiting`: not decided yet, it will be.' }),
        alarm: alarmSchema.optional(),
        request: z.string().optional().openapi({ description: 'Of one that waits: where to look.', example: '/v1/requests/…' }),
      }),
    ),
  })
  .openapi('AcknowledgedAlarms')

export function acknowledgeEndpoint(endpoint: Endpoints, { alarms, answers, now, waitMs }: AlarmActionDeps): void {
  endpoint(
    {
      method: 'post',
      path: '/v1/alarms/acknowledge',
      operationId: 'acknowledgeAlarms',
      summary: 'Acknowledge several alarms',
      description: `At most ${MOST_AT_ONCE}. Waits up to 5 s for their twins, or as \`Prefer\` says.`,
      tag: alarmTag,
      headers: z.object({ Prefer: preferHeader }),
      body: {
        schema: z.strictObject({ ids: z.array(alarmIdSchema).min(1).max(MOST_AT_ONCE), note: note.optional() }),
        types: ['application/json'],
        maxBytes: MAX_BODY_BYTES,
      },
      responses: { 200: { description: 'What became of each, in the order asked.', content: jsonContent(manySchema) } },
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, body: { ids, note }, header, caller }) => {
      const preference = preferenceOf(header('prefer'))
      const keys = [...new Map(ids.map((key) => [idOf(key), key])).values()]
      const open = (await alarms.find(tenant, keys)).filter(({ status }) => status === 'raised')
      const asks = open.map((row) => ({ row, id: randomUUID(), body: JSON.stringify(askOf('acknowledge', row, { note }, caller, now())) }))
      const asked = asks.map(({ row: { incarnation }, id, body }) => ({ id, incarnation, body }))
      const written = asked.length > 0 ? await alarms.ask(tenant, asked) : []
      const decided = await Promise.all(written.map((id) => answers.of(id, preference.waitMs ?? waitMs)))
      for (const answer of decided) refuseUnknown(answer)
      const undecided = new Set(written.filter((_, i) => decided[i] === undefined))
      const waiting = new Map(asks.flatMap(({ row, id }) => (undecided.has(id) ? [[idOf(row), id] as const] : [])))
      const after = new Map((await alarms.find(tenant, keys)).map((row) => [idOf(row), row]))
      const items = keys.map((key) => outcomeOf(idOf(key), after.get(idOf(key)), waiting.get(idOf(key))))
      return { status: 200, body: JSON.stringify({ items }), headers: preference.headers }
    },
  )
}

function outcomeOf(id: string, row: AlarmRow | undefined, request: string | undefined): z.infer<typeof manySchema>['items'][number] {
  if (!row) return { id, outcome: 'not-found' }
  const alarm = shownAlarm(row)
  if (row.status !== 'raised') return { id, outcome: row.status, alarm }
  if (request !== undefined) return { id, outcome: 'waiting', alarm, request: `/v1/requests/${request}` }
  // Its device was removed; that it is over follows.
  return { id, outcome: 'cleared', alarm }
}
