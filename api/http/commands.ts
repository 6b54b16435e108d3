/** One command: asking for it, looking at it, cancelling it. The request and the end are decisions of the twin; between them REST only looks. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { CommandIds, CommandRow, Commands } from '../command-ports.ts'
import type { DeviceRow, Models, Registry } from '../ports.ts'
import { type CommandBody, commandBody } from './command-check.ts'
import { commandJson, commandSchema } from './command-json.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { answerUnder, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { newCommand } from './new-command.ts'
import { type Preference, preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { modelGone, noDevice } from './refusals.ts'
import { deviceParams, jsonContent } from './schemas.ts'
import { createSharedPoll } from './shared-poll.ts'
import type { TwinAnswers } from './twin-answers.ts'

export interface CommandDeps {
  registry: Registry
  models: Models
  commands: Commands
  answers: TwinAnswers
  now: () => number
  /** How long a caller waits for the twin that says nothing about it. */
  waitMs: number
}

const MAX_BODY_BYTES = 64 * 1024
const located = z.object({ Location: z.string().openapi({ example: '/v1/commands/0d9f0a5e-6f0e-4d1c-9a3b-3b1f2f1c7a11' }) })
const commandParams = z.object({ id: z.uuid('a command’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })
const responses = {
  200: { description: 'The command, which has ended.', content: jsonContent(commandSchema), headers: located },
  202: {
    description: 'The command as it stands.',
    content: jsonContent(commandSchema),
    headers: located.extend({ 'Retry-After': z.string() }),
  },
}

export function commandEndpoints(endpoint: Endpoints, { registry, models, commands, answers, now, waitMs }: CommandDeps): void {
  const tag = 'Commands'
  const ends = createSharedPoll(async (ids) => (await commands.ended(ids)).map(({ id }) => ({ id, result: 'ended' })))

  endpoint(
    {
      method: 'post',
      path: '/v1/twins/{id}/commands',
      operationId: 'createCommand',
      summary: 'Tell a device to do something',
      description:
        'Without `Prefer` it waits up to 5 s until the twin has taken the command; with `wait=20` for its end. With an Idempotency-Key the same request is the same command for 24 hours.',
      tag,
      params: deviceParams,
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional(), Prefer: preferHeader }),
      body: { schema: commandBody, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses,
      problems: [409],
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, params, body, header, caller }) => {
      const device = await registry.find(tenant, params.id)
      if (!device) throw noDevice(params.id)
      const key = header('idempotency-key')
      const keyHash = key === undefined ? undefined : keyHashOf(tenant, key)
      const { ids, replayed } = await place(tenant, device, body, caller, keyHash)
      const preference = preferenceOf(header('prefer'))
      if (preference.waitMs === undefined) await answers.of(ids.request, waitMs)
      else await ends.of(ids.command, preference.waitMs)

      const row = await commands.find(tenant, ids.command)
      if (!row) throw noCommand(ids.command)
      if (isRefused(row)) {
        if (keyHash) await commands.releaseKey(tenant, keyHash, ids)
        throw new CastorError('too-many-requests', row.message ?? 'The device has too many commands that have not ended.', {
          retryAfterSeconds: 5,
        })
      }
      return standing(row, preference, replayed ? { 'idempotency-replayed': 'true' } : {})
    },
  )

  /** Writes it, or finds what was written under the same key: that is not checked again, since its expiry may be over by now. */
  async function place(tenant: string, device: DeviceRow, body: CommandBody, by: string, keyHash: Uint8Array | undefined) {
    const requestHash = sha256(JSON.stringify(['command', device.device, body]))
    const before = keyHash && (await answerUnder(registry, tenant, keyHash, requestHash))
    if (before) return { ids: JSON.parse(before.response) as CommandIds, replayed: true }

    const model = models.find(device.model)
    if (!model) throw modelGone(device.device, device.model)
    const ids: CommandIds = { command: randomUUID(), request: randomUUID() }
    const command = newCommand({ tenant, incarnation: device.incarnation, model, body, ids, by, now: now() })
    const outcome = await commands.insert(command, keyHash && { keyHash, requestHash, salt: new Uint8Array() })
    if (outcome === 'written') return { ids, replayed: false }
    if (outcome === 'gone') throw noDevice(device.device)
    const meanwhile = await answerUnder(registry, tenant, keyHash!, requestHash)
    if (!meanwhile) throw justEnded()
    return { ids: JSON.parse(meanwhile.response) as CommandIds, replayed: true }
  }

  endpoint(
    {
      method: 'get',
      path: '/v1/commands/{id}',
      operationId: 'getCommand',
      summary: 'Get a command',
      description: 'Commands are kept for 30 days after their end.',
      tag,
      params: commandParams,
      responses: { 200: { description: 'The command.', content: jsonContent(commandSchema) } },
    },
    async ({ tenant, params }) => {
      const row = await commands.find(tenant, params.id)
      if (!row) throw noCommand(params.id)
      return { status: 200, body: commandJson(row) }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/commands/{id}',
      operationId: 'cancelCommand',
      summary: 'Cancel a command',
      description: 'A device that has it already is told. Waits up to 5 s for the twin, or as `Prefer` says.',
      tag,
      params: commandParams,
      headers: z.object({ Prefer: preferHeader }),
      responses: { ...responses, 202: { ...responses[202], description: 'Not decided yet: the command as it stands.' } },
      problems: [409],
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, params, header, caller }) => {
      const row = await commands.find(tenant, params.id)
      if (!row) throw noCommand(params.id)
      const preference = preferenceOf(header('prefer'))
      if (row.endedAt !== null) return cancelled(row, preference)
      const question = { tenant, incarnation: row.incarnation, kind: 'cancel', body: { id: row.id, by: caller } }
      await answers.ask(question, preference.waitMs ?? waitMs)
      const after = await commands.find(tenant, params.id)
      if (!after) throw noCommand(params.id)
      return cancelled(after, preference)
    },
  )
}

function standing(row: CommandRow, preference: Preference, more: Record<string, string> = {}): Reply {
  const headers = { ...preference.headers, ...more, location: `/v1/commands/${row.id}` }
  if (row.endedAt !== null) return { status: 200, body: commandJson(row), headers }
  return { status: 202, body: commandJson(row), headers: { ...headers, 'retry-after': '1' } }
}

function cancelled(row: CommandRow, preference: Preference): Reply {
  if (row.endedAt === null || row.status === 'cancelled') return standing(row, preference)
  throw new CastorError('conflict', `The command had ended before, as ${row.status}.`)
}

/** The twin took none of it: so many were open. What a device says of a command that it got is another matter. */
function isRefused({ status, code, attempts }: CommandRow): boolean {
  return status === 'failed' && code === 'too-many-commands' && attempts === 0
}

function noCommand(id: string): CastorError {
  return new CastorError('not-found', `There is no command ${id}.`)
}
