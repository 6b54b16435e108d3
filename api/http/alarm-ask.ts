/** What is asked of an alarm over REST, for one (alarm-actions.ts) and for many (alarm-acknowledge.ts). */
import { z } from '@hono/zod-openapi'
import type { AlarmAsk } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { AlarmKey, AlarmRow, Alarms } from '../alarm-ports.ts'
import type { TwinRequests } from '../ports.ts'
import { alarmIdSchema, idOf } from './alarm-json.ts'
import type { TwinAnswers } from './twin-answers.ts'
import { type Until, untilOf } from './until.ts'

export interface AlarmActionDeps {
  alarms: Alarms
  requests: TwinRequests
  answers: TwinAnswers
  now: () => number
  /** How long a caller waits for the twin that says nothing about it. */
  waitMs: number
}

export const alarmTag = 'Alarms'
export const alarmParams = z.object({ id: alarmIdSchema.openapi({ param: { name: 'id', in: 'path' } }) })
export const MAX_BODY_BYTES = 16 * 1024
export const LONGEST_SHELF_MS = 365 * 86_400_000
export const note = z.string('must be a text').min(1).max(1_000).openapi({ example: 'On my way' })

/** All members that any of them has. */
export type Said = Until & { note?: string | undefined; assignee?: string | null | undefined }

/** Also one of another tenant is not there. */
export async function knownAlarm(alarms: Alarms, tenant: string, id: AlarmKey): Promise<AlarmRow> {
  const [row] = await alarms.find(tenant, [id])
  if (!row) throw noAlarm(id)
  return row
}

export function noAlarm(id: AlarmKey): CastorError {
  return new CastorError('not-found', `There is no alarm ${idOf(id)}.`)
}

/** With this alarm alone: one that was raised since is another one. */
export function askOf(action: AlarmAsk['action'], { rule, n }: AlarmRow, said: Said, by: string, now: number): AlarmAsk {
  const of = { rule, n, by, ...(said.note !== undefined && { note: said.note }) }
  if (action === 'shelve') return { ...of, action, until: untilOf(said, now, LONGEST_SHELF_MS) }
  if (action === 'assign') return { ...of, action, assignee: said.assignee ?? null }
  return { ...of, action }
}
