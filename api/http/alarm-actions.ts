/**
 * POST /v1/alarms/{id}/{action}: what people do with an alarm. The twin decides; who asks waits for its word. That something is so already is no
 * mistake, but that the alarm is over is: it was cleared meanwhile, and what is there now is another one.
 */
import { z } from '@hono/zod-openapi'
import type { AlarmAsk } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { AlarmRow } from '../alarm-ports.ts'
import {
  type AlarmActionDeps,
  alarmParams,
  alarmTag,
  askOf,
  knownAlarm,
  LONGEST_SHELF_MS,
  MAX_BODY_BYTES,
  note,
  type Said,
} from './alarm-ask.ts'
import { alarmJson, alarmSchema, idOf } from './alarm-json.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { requestSchema, undecided } from './requests.ts'
import { jsonContent } from './schemas.ts'
import { refuseUnknown } from './twin-answers.ts'
import { untilMembers } from './until.ts'

const noted = z.strictObject({ note: note.optional() })

interface Action {
  summary: string
  description?: string
  body: z.ZodType<Said>
  /** Without a body it is `{}`. */
  optional?: true
}

const ACTIONS: Record<AlarmAsk['action'], Action> = {
  acknowledge: {
    summary: 'Acknowledge an alarm',
    description: 'The caller has seen it and takes care of it: nobody else is told. The first one counts.',
    body: noted,
    optional: true,
  },
  shelve: {
    summary: 'Shelve an alarm: nobody is told of it for a while',
    description: 'Up to 365 days. It stays open, and can be cleared meanwhile.',
    body: z.strictObject({ ...untilMembers(LONGEST_SHELF_MS, '4h'), note: note.optional() }),
  },
  unshelve: { summary: 'Take an alarm from the shelf', body: noted, optional: true },
  clear: {
    summary: 'Clear an alarm by hand',
    description: 'While its condition holds it does not come back: that has to be over in between. One that is cleared already is 200.',
    body: noted,
    optional: true,
  },
  assign: {
    summary: 'Say who takes care of an alarm',
    description: '`null`: nobody. A word for people: it tells nobody.',
    body: z.strictObject({ assignee: z.string('must be a text, or null').min(1).max(128).nullable(), note: note.optional() }),
  },
  comment: { summary: 'Say something of an alarm', description: 'It stands in its history.', body: z.strictObject({ note }) },
}

export function alarmActionEndpoints(endpoint: Endpoints, { alarms, requests, answers, now, waitMs }: AlarmActionDeps): void {
  for (const [action, { summary, description, body: schema, optional }] of Object.entries(ACTIONS) as Array<[AlarmAsk['action'], Action]>) {
    endpoint(
      {
        method: 'post',
        path: `/v1/alarms/{id}/${action}`,
        operationId: `${action}Alarm`,
        summary,
        ...(description !== undefined && { description }),
        tag: alarmTag,
        params: alarmParams,
        headers: z.object({ Prefer: preferHeader }),
        body: { schema, types: ['application/json'], maxBytes: MAX_BODY_BYTES, ...(optional && { optional }) },
        responses: {
          200: { description: 'Decided: the alarm as it stands.', content: jsonContent(alarmSchema) },
          202: {
            description: 'Not decided yet. It will be: `Location` leads to what becomes of it.',
            content: jsonContent(requestSchema),
            headers: z.object({ Location: z.string(), 'Retry-After': z.string() }),
          },
        },
        problems: [409],
        deadlineMs: WAITING_DEADLINE_MS,
      },
      async ({ tenant, params: { id }, body, header, caller }) => {
        const row = await knownAlarm(alarms, tenant, id)
        const ask = askOf(action, row, body, caller, now())
        const preference = preferenceOf(header('prefer'))
        if (isSo(action, row)) return standing(row, preference.headers)
        if (row.status === 'cleared') throw isOver(row)
        const asked = await answers.ask({ tenant, incarnation: id.incarnation, kind: 'alarm', body: ask }, preference.waitMs ?? waitMs)
        if (asked && !asked.answer) return undecided(requests, tenant, asked.id, preference.headers)
        refuseUnknown(asked?.answer)
        const after = await knownAlarm(alarms, tenant, id)
        if (asked && !asked.answer?.refused) return standing(after, preference.headers)
        if (isSo(action, after)) return standing(after, preference.headers)
        throw isOver(after)
      },
    )
  }
}

/** What needs no decision any more. */
function isSo(action: AlarmAsk['action'], { status }: AlarmRow): boolean {
  return (action === 'clear' && status === 'cleared') || (action === 'acknowledge' && status === 'acknowledged')
}

function standing(row: AlarmRow, headers: Record<string, string>): Reply {
  return { status: 200, body: alarmJson(row), headers }
}

function isOver({ incarnation, n, clearedAt, clearReason }: AlarmRow): CastorError {
  const id = idOf({ incarnation, n })
  const when = clearedAt === null ? 'its device was removed' : `it was cleared at ${new Date(clearedAt).toISOString()} (${clearReason})`
  return new CastorError('conflict', `The alarm ${id} is over: ${when}.`)
}
