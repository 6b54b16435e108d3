/** /v1/updates: the firmware update of one device: asking for it, looking at it, cancelling it. Each begins and ends by decisions of the twin. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { UpdateRequest } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type UpdateSpec, updateSpecOf } from '../../twin-models/schemas/update.ts'
import type { Registry, Twins } from '../ports.ts'
import { UPDATE_STATUSES, type UpdateRow, type Updates } from '../update-ports.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { answerUnder, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { type Preference, preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { noDevice } from './refusals.ts'
import { deviceId, jsonContent, wordsParameter } from './schemas.ts'
import { createSharedPoll } from './shared-poll.ts'
import type { TwinAnswers } from './twin-answers.ts'
import { checkUpdate, type UpdateCheckDeps } from './update-check.ts'
import { newUpdateSchema, updateJson, updateSchema } from './update-json.ts'

export interface UpdateDeps extends UpdateCheckDeps {
  registry: Pick<Registry, 'storedAnswer'>
  twins: Pick<Twins, 'find'>
  updates: Updates
  answers: TwinAnswers
  now: () => number
  /** How long a caller waits for the twin that says nothing about it. */
  waitMs: number
}

const MAX_BODY_BYTES = 16 * 1024
const located = z.object({ Location: z.string().openapi({ example: '/v1/updates/7b0d6f1e-3a57-4a1e-9c55-0f4f3c1d2e90' }) })
const updateParams = z.object({ id: z.uuid('an update’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })
const responses = {
  200: { description: 'The update, which has ended.', content: jsonContent(updateSchema), headers: located },
  202: {
    description: 'The update as it stands.',
    content: jsonContent(updateSchema),
    headers: located.extend({ 'Retry-After': z.string() }),
  },
}

export function updateEndpoints(endpoint: Endpoints, deps: UpdateDeps): void {
  const { registry, twins, updates, answers, now, waitMs } = deps
  const tag = 'Updates'
  const ends = createSharedPoll(async (ids) => (await updates.ended(ids)).map(({ id }) => ({ id, result: 'ended' })))

  endpoint(
    {
      method: 'post',
      path: '/v1/updates',
      operationId: 'createUpdate',
      summary: 'Update the firmware of one device',
      description:
        'Takes the place of an update of it that waits, and is `skipped` as `busy` when one is under way. Without `Prefer` it waits up to 5 s until the twin has taken it; with `wait=20` for its end. With an Idempotency-Key the same request is the same update for 24 hours.',
      tag,
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional(), Prefer: preferHeader }),
      body: { schema: newUpdateSchema, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses,
      problems: [404, 409],
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, body, header, caller }) => {
      const key = header('idempotency-key')
      const { id, replayed } = await place(tenant, updateSpecOf(body), caller, key === undefined ? undefined : keyHashOf(tenant, key))
      const preference = preferenceOf(header('prefer'))
      if (preference.waitMs === undefined) await answers.of(id, waitMs)
      else await ends.of(id, preference.waitMs)
      return standing(await known(tenant, id), preference, replayed ? { 'idempotency-replayed': 'true' } : {})
    },
  )

  /** Writes it, or finds what was written under the same key: that is not checked again. */
  async function place(tenant: string, spec: UpdateSpec, by: string, keyHash: Uint8Array | undefined) {
    const requestHash = sha256(JSON.stringify(['update', spec]))
    const stored = async () => keyHash && (await answerUnder(registry, tenant, keyHash, requestHash))
    const before = await stored()
    if (before) return { id: idIn(before.response), replayed: true }

    const twin = await twins.find(tenant, spec.device)
    if (!twin) throw noDevice(spec.device)
    const { firmware, from, request } = await checkUpdate(deps, tenant, twin, spec, now())
    const id = randomUUID()
    const outcome = await updates.insert(
      {
        ...{ id, tenant, incarnation: twin.incarnation, firmware, kind: spec.kind, requestedBy: by, from },
        request: JSON.stringify({ id, ...request, by } satisfies UpdateRequest),
      },
      keyHash && { keyHash, requestHash, salt: new Uint8Array() },
    )
    if (outcome === 'written') return { id, replayed: false }
    if (outcome === 'gone') throw noDevice(spec.device)
    const meanwhile = await stored()
    if (!meanwhile) throw justEnded()
    return { id: idIn(meanwhile.response), replayed: true }
  }

  endpoint(
    {
      method: 'get',
      path: '/v1/updates',
      operationId: 'listUpdates',
      summary: 'List updates',
      description: 'Newest first. `device` means its present registration. They are kept for 30 days after their end.',
      tag,
      query: z.strictObject({
        device: deviceId.optional(),
        rollout: z.uuid('must be the id of a rollout').optional(),
        status: wordsParameter(UPDATE_STATUSES, 'status').optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(updateSchema)) } },
    },
    async ({ tenant, query: { device, rollout, status: statuses, limit, cursor } }) => {
      const page = { after: keyOf('updates', cursor, z.int()), limit }
      const rows = await updates.list({ tenant, device, rollout, statuses, page })
      return { status: 200, body: pageJson(rows.map(updateJson), limit, () => cursorOf('updates', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/updates/{id}',
      operationId: 'getUpdate',
      summary: 'Get an update',
      tag,
      params: updateParams,
      responses: { 200: { description: 'The update.', content: jsonContent(updateSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: updateJson(await known(tenant, params.id)) }),
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/updates/{id}/cancel',
      operationId: 'cancelUpdate',
      summary: 'Cancel an update',
      description: 'Also one of a rollout. A device that has it already is told. Waits up to 5 s for the twin, or as `Prefer` says.',
      tag,
      params: updateParams,
      headers: z.object({ Prefer: preferHeader }),
      responses: { ...responses, 202: { ...responses[202], description: 'Not decided yet: the update as it stands.' } },
      problems: [409],
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, params: { id }, header, caller }) => {
      const row = await known(tenant, id)
      const preference = preferenceOf(header('prefer'))
      if (row.endedAt !== null) return cancelled(row, preference)
      await answers.ask(
        { tenant, incarnation: row.incarnation, kind: 'cancel-update', body: { id, by: caller } },
        preference.waitMs ?? waitMs,
      )
      return cancelled(await known(tenant, id), preference)
    },
  )

  /** Also one of another tenant is not there. */
  async function known(tenant: string, id: string): Promise<UpdateRow> {
    const row = await updates.find(tenant, id)
    if (!row) throw new CastorError('not-found', `There is no update ${id}.`)
    return row
  }
}

function idIn(response: string): string {
  return (JSON.parse(response) as { update: string }).update
}

function standing(row: UpdateRow, preference: Preference, more: Record<string, string> = {}): Reply {
  const headers = { ...preference.headers, ...more, location: `/v1/updates/${row.id}` }
  if (row.endedAt !== null) return { status: 200, body: updateJson(row), headers }
  return { status: 202, body: updateJson(row), headers: { ...headers, 'retry-after': '1' } }
}

function cancelled(row: UpdateRow, preference: Preference): Reply {
  if (row.endedAt === null || row.status === 'cancelled') return standing(row, preference)
  throw new CastorError('conflict', `The update had ended before, as ${row.status}.`)
}
