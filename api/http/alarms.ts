/** /v1/alarms: what the rules of a tenant's devices found. What people do with an alarm: alarm-actions.ts. */
import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { ALARM_STATUSES, type AlarmQuery, type Alarms } from '../alarm-ports.ts'
import { acknowledgeEndpoint } from './alarm-acknowledge.ts'
import { alarmActionEndpoints } from './alarm-actions.ts'
import { type AlarmActionDeps, alarmParams, alarmTag, knownAlarm, noAlarm } from './alarm-ask.ts'
import { alarmJson, alarmSchema, severitySchema } from './alarm-json.ts'
import type { Endpoints } from './endpoint.ts'
import { eventJson, eventSchema } from './event-json.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { deviceId, jsonContent, timeParameter, wordsParameter } from './schemas.ts'

const MOST_RULES = 100
const EMPTY = '{"items":[],"next":null}'
const cursorKey = z.tuple([z.int(), z.int()])
const name = z.string().min(1).max(128)

const counted = z.object({ raised: z.int(), acknowledged: z.int() })
const countsSchema = z
  .object({
    open: z.int(),
    severities: z.object({ critical: counted, major: counted, minor: counted, warning: counted }),
    rules: z
      .array(counted.extend({ rule: z.string(), severity: z.enum(SEVERITIES).openapi({ description: 'The greatest of its alarms.' }) }))
      .openapi({ description: `Those with the most, at most ${MOST_RULES}.` }),
  })
  .openapi('AlarmCounts')

export function alarmEndpoints(endpoint: Endpoints, deps: AlarmActionDeps): void {
  const { alarms } = deps

  endpoint(
    {
      method: 'get',
      path: '/v1/alarms',
      operationId: 'listAlarms',
      summary: 'List alarms',
      description:
        'Newest first by `raisedAt`. `status` `open` is `raised` and `acknowledged`; `severity` means this one or a greater; `device` its present registration; `from` is inclusive, `to` exclusive, by `raisedAt`.',
      tag: alarmTag,
      query: z.strictObject({
        status: wordsParameter([...ALARM_STATUSES, 'open'], 'status').optional(),
        severity: severitySchema.optional(),
        rule: name.optional(),
        device: deviceId.optional(),
        assignee: name.optional(),
        from: timeParameter.optional(),
        to: timeParameter.optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(alarmSchema)) } },
    },
    async ({ tenant, query: { status, severity, limit, cursor, ...query } }) => {
      const key = keyOf('alarms', cursor, cursorKey)
      const rows = await alarms.list({
        tenant,
        device: query.device,
        statuses: statusesOf(status),
        severities: SEVERITIES.slice(severity ? SEVERITIES.indexOf(severity) : 0),
        rule: query.rule,
        assignee: query.assignee,
        from: query.from,
        to: query.to,
        page: { after: key && { raisedAt: key[0], number: key[1] }, limit },
      })
      if (!rows) return { status: 200, body: EMPTY }
      const next = () => cursorOf('alarms', [rows.at(-1)!.raisedAt, rows.at(-1)!.number])
      return { status: 200, body: pageJson(rows.map(alarmJson), limit, next) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/alarms/counts',
      operationId: 'countAlarms',
      summary: 'Count open alarms',
      tag: alarmTag,
      responses: { 200: { description: 'By severity and status, and by rule.', content: jsonContent(countsSchema) } },
    },
    async ({ tenant }) => ({ status: 200, body: JSON.stringify(await countsOf(alarms, tenant)) }),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/alarms/{id}',
      operationId: 'getAlarm',
      summary: 'Get an alarm',
      description: 'Alarms are kept for 90 days after they were cleared.',
      tag: alarmTag,
      params: alarmParams,
      responses: { 200: { description: 'The alarm.', content: jsonContent(alarmSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: alarmJson(await knownAlarm(alarms, tenant, params.id)) }),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/alarms/{id}/history',
      operationId: 'listAlarmHistory',
      summary: 'List what became of an alarm',
      description: 'What its twin decided of it, in order: raised, updated, acknowledged, shelved, assigned, commented, cleared.',
      tag: alarmTag,
      params: alarmParams,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(eventSchema)) } },
    },
    async ({ tenant, params: { id }, query: { limit, cursor } }) => {
      const key = keyOf('alarm history', cursor, cursorKey)
      const events = await alarms.history(tenant, id, { after: key && { revision: key[0], n: key[1] }, limit })
      if (!events) throw noAlarm(id)
      const next = () => cursorOf('alarm history', [events.at(-1)!.revision, events.at(-1)!.n])
      return { status: 200, body: pageJson(events.map(eventJson), limit, next) }
    },
  )

  alarmActionEndpoints(endpoint, deps)
  acknowledgeEndpoint(endpoint, deps)
}

function statusesOf(given: Array<(typeof ALARM_STATUSES)[number] | 'open'> = [...ALARM_STATUSES]): AlarmQuery['statuses'] {
  const wanted = new Set<string>(given.flatMap((status) => (status === 'open' ? ['raised', 'acknowledged'] : [status])))
  return ALARM_STATUSES.filter((status) => wanted.has(status))
}

async function countsOf(alarms: Alarms, tenant: string): Promise<z.infer<typeof countsSchema>> {
  const { severities, rules } = await alarms.counts(tenant, MOST_RULES)
  const none = () => ({ raised: 0, acknowledged: 0 })
  const bySeverity = { critical: none(), major: none(), minor: none(), warning: none() }
  for (const { severity, status, count } of severities) bySeverity[severity][status] = count
  return { open: severities.reduce((sum, { count }) => sum + count, 0), severities: bySeverity, rules }
}
