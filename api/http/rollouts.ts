/** /v1/rollouts: a firmware for many devices, in waves. The work itself is a workflow; here are its rows, and whom it would reach. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { ROLLOUT_STATUSES, type RolloutSpec } from '../../twin-models/core/rollout-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { USABLE_PROBLEMS, usableProblem } from '../../twin-models/firmware/usable.ts'
import { rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import type { FirmwareRows } from '../firmware-ports.ts'
import type { Groups } from '../group-ports.ts'
import type { Registry } from '../ports.ts'
import type { RolloutRow, Rollouts } from '../rollout-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { answerUnder, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import {
  newRolloutSchema,
  previewedRolloutSchema,
  previewSchema,
  rolloutDetailsSchema,
  rolloutSchema,
  shownDetails,
  shownPreview,
  shownRollout,
} from './rollout-json.ts'
import { jsonContent, wordsParameter } from './schemas.ts'

export interface RolloutDeps {
  rollouts: Rollouts
  registry: Pick<Registry, 'storedAnswer'>
  firmware: Pick<FirmwareRows, 'findVersion'>
  groups: Pick<Groups, 'find'>
  now: () => number
}

const MAX_BODY_BYTES = 64 * 1024
/** Whom it would reach among a million devices is not known at once. */
const PREVIEW_DEADLINE_MS = 120_000
export const rolloutTag = 'Rollouts'
export const rolloutParams = z.object({ id: z.uuid('a rollout’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })

export function rolloutEndpoints(endpoint: Endpoints, { rollouts, registry, firmware, groups, now }: RolloutDeps): void {
  const tag = rolloutTag

  endpoint(
    {
      method: 'post',
      path: '/v1/rollouts',
      operationId: 'createRollout',
      summary: 'Draft a rollout',
      description:
        'With `preview=true` nothing is made: the answer says who is reached, wave by wave, and who is left out and why. A draft asks no device before it is approved; with `"approval": "none"` it begins at once. With an Idempotency-Key the same request is the same rollout for 24 hours.',
      tag,
      query: z.strictObject({ preview: z.enum(['true', 'false']).optional() }),
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional() }),
      body: { schema: newRolloutSchema, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'The preview.', content: jsonContent(previewSchema) },
        201: {
          description: 'The draft, with its preview.',
          content: jsonContent(previewedRolloutSchema),
          headers: z.object({ Location: z.string() }),
        },
      },
      problems: [409],
      deadlineMs: PREVIEW_DEADLINE_MS,
    },
    async ({ tenant, caller, query, body, header }) => {
      const spec = rolloutSpecOf(body)
      const id = randomUUID()
      if (query.preview === 'true') {
        await checkNames(tenant, spec)
        return { status: 200, body: JSON.stringify(await previewed(tenant, id, spec, { asked: body.waves.length })) }
      }
      const key = header('idempotency-key')
      const keyHash = key === undefined ? undefined : keyHashOf(tenant, key)
      const requestHash = sha256(JSON.stringify(['rollout', spec]))
      const stored = async () => keyHash && (await answerUnder(registry, tenant, keyHash, requestHash))
      let before = await stored()
      if (!before) {
        await checkNames(tenant, spec)
        // What cannot choose its devices is refused before it is made.
        const preview = await previewed(tenant, id, spec, { asked: body.waves.length })
        const claim = keyHash && { keyHash, requestHash, salt: new Uint8Array() }
        if ((await rollouts.create({ id, tenant, spec, by: caller }, claim)) === 'written') return made(await known(tenant, id), preview)
        before = await stored()
        if (!before) throw justEnded()
      }
      const row = await known(tenant, (JSON.parse(before.response) as { rollout: string }).rollout)
      return made(row, isOpen(row) ? await previewed(tenant, row.id, row.spec) : undefined, { 'idempotency-replayed': 'true' })
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rollouts',
      operationId: 'listRollouts',
      summary: 'List rollouts',
      description: 'The counts of each: `GET /v1/rollouts/{id}`.',
      tag,
      query: z.strictObject({
        status: wordsParameter(ROLLOUT_STATUSES, 'status').optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(rolloutSchema)) } },
    },
    async ({ tenant, query: { status, limit, cursor } }) => {
      const rows = await rollouts.list(tenant, status, { after: keyOf('rollouts', cursor, z.int()), limit })
      const items = rows.map((row) => JSON.stringify(shownRollout(row)))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('rollouts', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rollouts/{id}',
      operationId: 'getRollout',
      summary: 'Get a rollout: how far it is, and what goes wrong',
      tag,
      params: rolloutParams,
      responses: { 200: { description: 'The rollout.', content: jsonContent(rolloutDetailsSchema) } },
    },
    async ({ tenant, params }) => {
      const row = await known(tenant, params.id)
      return { status: 200, body: JSON.stringify(shownDetails(row, await rollouts.look(row))) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rollouts/{id}/preview',
      operationId: 'previewRollout',
      summary: 'Whom a draft would reach now',
      description: 'Once its devices are chosen it is 409: who they are stands under `/devices`.',
      tag,
      params: rolloutParams,
      responses: { 200: { description: 'The preview.', content: jsonContent(previewSchema) } },
      problems: [409],
      deadlineMs: PREVIEW_DEADLINE_MS,
    },
    async ({ tenant, params }) => {
      const row = await known(tenant, params.id)
      if (!isOpen(row))
        throw new CastorError('conflict', `Its devices are chosen, or it has ended: /v1/rollouts/${row.id}/devices says who they are.`)
      return { status: 200, body: JSON.stringify(await previewed(tenant, row.id, row.spec, { code: 'conflict' })) }
    },
  )

  async function known(tenant: string, id: string): Promise<RolloutRow> {
    const row = await rollouts.find(tenant, id)
    if (!row) throw noRollout(id)
    return row
  }

  /** `code`: of what it cannot be previewed for. `asked`: so many waves were. */
  async function previewed(
    tenant: string,
    id: string,
    spec: RolloutSpec,
    { code = 'invalid', asked }: { code?: 'invalid' | 'conflict'; asked?: number } = {},
  ): Promise<object> {
    try {
      return shownPreview(spec, await rollouts.preview({ id, tenant, spec }), asked)
    } catch (error) {
      if (error instanceof CastorError && error.code === 'invalid') throw new CastorError(code, error.message)
      throw error
    }
  }

  /** Told with their place in the request; the store looks again. */
  async function checkNames(tenant: string, { firmware: { name, version }, target, waves }: RolloutSpec): Promise<void> {
    const row = await firmware.findVersion(tenant, name, version)
    if (!row) throw invalid('/firmware', `There is no firmware ${name} ${version}: upload it first.`)
    const problem = usableProblem(row, now())
    if (problem) throw new CastorError('conflict', `Firmware ${name} ${version} cannot be rolled out. ${USABLE_PROBLEMS[problem]}`)
    if (target.group !== undefined) await checkGroup(tenant, target.group, '/group')
    for (const [i, wave] of waves.entries()) if ('group' in wave) await checkGroup(tenant, wave.group, `/waves/${i}/group`)
  }

  async function checkGroup(tenant: string, name: string, path: string): Promise<void> {
    if (!(await groups.find(tenant, name))) throw invalid(path, `There is no group ${name}.`)
  }
}

/** Also for one of another tenant. */
export function noRollout(id: string): CastorError {
  return new CastorError('not-found', `There is no rollout ${id}.`)
}

/** Its devices are still to be chosen. */
function isOpen({ startedAt, endedAt }: RolloutRow): boolean {
  return startedAt === null && endedAt === null
}

function made(row: RolloutRow, preview: object | undefined, headers: Record<string, string> = {}) {
  const body = JSON.stringify({ ...shownRollout(row), ...(preview && { preview }) })
  return { status: 201, body, headers: { location: `/v1/rollouts/${row.id}`, ...headers } } as const
}

function invalid(path: string, message: string): CastorError {
  return new CastorError('invalid', message, { errors: [{ path, detail: message }] })
}
