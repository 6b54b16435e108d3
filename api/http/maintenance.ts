/** /v1/twins/{id}/maintenance: somebody repairs a device. Of what its rules find meanwhile nobody is told, and no firmware update is let go. */
import { z } from '@hono/zod-openapi'
import type { DecidedPart } from '../../twin-models/core/decided.ts'
import type { MaintenanceAsk } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { TwinRequests, Twins } from '../ports.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { type Preference, preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { noDevice } from './refusals.ts'
import { requestSchema, undecided } from './requests.ts'
import { deviceParams, jsonContent } from './schemas.ts'
import { refuseUnknown, type TwinAnswers } from './twin-answers.ts'
import { maintenance as maintenanceSchema } from './twin-schema.ts'
import { untilMembers, untilOf } from './until.ts'

export interface MaintenanceDeps {
  twins: Pick<Twins, 'find'>
  requests: TwinRequests
  answers: TwinAnswers
  now: () => number
  /** How long a caller waits for the twin that says nothing about it. */
  waitMs: number
}

const MAX_BODY_BYTES = 8 * 1024
const LONGEST_MS = 30 * 86_400_000

export function maintenanceEndpoints(endpoint: Endpoints, { twins, requests, answers, now, waitMs }: MaintenanceDeps): void {
  const asking = {
    path: '/v1/twins/{id}/maintenance',
    tag: 'Twins',
    params: deviceParams,
    headers: z.object({ Prefer: preferHeader }),
    problems: [409],
    deadlineMs: WAITING_DEADLINE_MS,
  }
  const notYet = {
    description: 'Not decided yet. It will be: `Location` leads to what becomes of it.',
    content: jsonContent(requestSchema),
    headers: z.object({ Location: z.string(), 'Retry-After': z.string() }),
  }

  endpoint(
    {
      ...asking,
      method: 'put',
      operationId: 'putMaintenance',
      summary: 'Put a device in maintenance, or change until when it is',
      description:
        'Alarms that are there, and those that are raised, are `muted`: nobody is told. Those that were raised meanwhile and are still there at its end are told of then; with the others escalation goes on. A firmware update that was not let go waits. It ends by itself; at most 30 days. Where a ticket’s repair of the device lasts longer, the device is in maintenance until that has ended.',
      body: {
        schema: z
          .strictObject({ ...untilMembers(LONGEST_MS, '4h'), reason: z.string('must be a text').min(1).max(1_000).optional() })
          .openapi('MaintenanceRequest', { example: { for: '4h', reason: 'A new bearing' } }),
        types: ['application/json'],
        maxBytes: MAX_BODY_BYTES,
      },
      responses: { 200: { description: 'Decided.', content: jsonContent(maintenanceSchema) }, 202: notYet },
    },
    async ({ tenant, params, body, header, caller }) => {
      const until = untilOf(body, now(), LONGEST_MS)
      const preference = preferenceOf(header('prefer'))
      const ask: MaintenanceAsk = { until, by: caller, ...(body.reason !== undefined && { reason: body.reason }) }
      return decided(tenant, params.id, ask, preference, async () => {
        const shown = (JSON.parse((await twins.find(tenant, params.id))?.decided ?? '{}') as Partial<DecidedPart>).maintenance
        if (!shown) throw new CastorError('conflict', 'The maintenance was ended meanwhile.')
        return { status: 200, body: JSON.stringify(shown), headers: preference.headers }
      })
    },
  )

  endpoint(
    {
      ...asking,
      method: 'delete',
      operationId: 'endMaintenance',
      summary: 'End the maintenance of a device',
      description:
        'Of alarms that were raised meanwhile and are still there people are told now; with the others escalation goes on. A ticket’s repair that is in progress goes on, and with it the maintenance: it ends with `done`. 204 also when there was none.',
      responses: { 204: { description: 'Decided: it is in no maintenance, but for those of tickets.' }, 202: notYet },
    },
    async ({ tenant, params, header, caller }) => {
      const preference = preferenceOf(header('prefer'))
      const reply: Reply = { status: 204, body: null, headers: preference.headers }
      return decided(tenant, params.id, { until: null, by: caller }, preference, async () => reply)
    },
  )

  async function decided(
    tenant: string,
    device: string,
    body: MaintenanceAsk,
    preference: Preference,
    shown: () => Promise<Reply>,
  ): Promise<Reply> {
    const row = await twins.find(tenant, device)
    if (!row) throw noDevice(device)
    const asked = await answers.ask({ tenant, incarnation: row.incarnation, kind: 'maintenance', body }, preference.waitMs ?? waitMs)
    if (!asked) throw noDevice(device)
    if (!asked.answer) return undecided(requests, tenant, asked.id, preference.headers)
    refuseUnknown(asked.answer)
    return shown()
  }
}
