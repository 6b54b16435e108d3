/** What rules did when their alarms were raised or cleared, what of it failed or was cut, and having it done again. */
import { z } from '@hono/zod-openapi'
import { CHAIN, LOOP } from '../../twin-models/core/action-guard.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { ACTION_KINDS, TURNS } from '../alarms/rule-action.ts'
import { ACTION_STATES, type RuleActionQuery, type RuleActionRow, type RuleActions } from '../rule-action-ports.ts'
import { commandSchema } from './command-json.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { deviceId, iso, jsonContent, time, wordsParameter } from './schemas.ts'

const tag = 'Rules'
const EXAMPLE_ID = '0d9f0a5e-6f0e-5d1c-9a3b-3b1f2f1c7a11'
const ruleName = z.string().min(1).max(128).openapi({ example: 'bearing' })

const ruleActionSchema = z
  .object({
    id: z.uuid().openapi({ example: EXAMPLE_ID }),
    rule: z.string().openapi({ example: 'bearing' }),
    version: z.int().openapi({ description: 'Of the rule, as the alarm was of it.' }),
    alarm: z.string().openapi({ example: '17-3' }),
    device: z.string().openapi({ description: 'That of the alarm.', example: 'p-7' }),
    on: z.enum(TURNS),
    place: z.int().openapi({ description: 'In the list of the rule’s actions, from 0.' }),
    kind: z.string().openapi({ description: `One of ${ACTION_KINDS.join(', ')}.`, example: 'command' }),
    name: z.string().optional().openapi({ description: 'Of the command, the event or the model that predicts.', example: 'stop' }),
    state: z.enum(ACTION_STATES).openapi({
      description:
        'waiting: for its turn, or to be tried again. done: it is written; what becomes of a command `command` says, of a wish its request.',
    }),
    at: time.openapi({ description: 'When the alarm was raised or cleared.' }),
    depth: z.int().openapi({ description: 'Over so many devices rules had set off each other before it, as far as that is known.' }),
    attempts: z.int().openapi({ description: 'That did not work out, and were to be repeated.' }),
    dueAt: time.optional().openapi({ description: 'When it is tried next, while it waits.' }),
    endedAt: time.optional(),
    target: z.string().optional().openapi({ description: 'The device that it acted on, as long as that is registered.' }),
    result: z.string().optional().openapi({ description: 'Id of the command, the request, the ticket or the prediction.' }),
    command: commandSchema
      .pick({ status: true, code: true, message: true, endedAt: true })
      .optional()
      .openapi({ description: 'What has become of the command by now, as long as that is kept; `result` is its id.' }),
    cutBy: z.enum(['maintenance', 'loop', 'chain', 'crowd']).optional(),
    reason: z.string().optional().openapi({ description: 'Why it failed or was cut; or how its last attempt went, while it waits.' }),
  })
  .openapi('RuleAction')

const listQuery = z.strictObject({
  device: deviceId.optional(),
  alarm: z
    .string()
    .regex(/^\d{1,9}-\d{1,9}$/, 'an alarm’s id is two numbers, like 17-3')
    .optional(),
  state: wordsParameter(ACTION_STATES, 'state').optional(),
  limit: limitParameter,
  cursor: cursorParameter,
})
const actionParams = z.object({
  id: z.uuid('an action’s id is a UUID').openapi({ param: { name: 'id', in: 'path' }, example: EXAMPLE_ID }),
})
const ruleParams = z.object({ name: ruleName.openapi({ param: { name: 'name', in: 'path' } }) })

const CUTS = `A rule acts on a device by commands and wishes for at most ${LOOP.alarms} alarms within ${LOOP.windowMs / 60_000} minutes, and rules set off each other over at most ${CHAIN.depth} devices; what goes beyond is cut, and told once by an event \`rule.cut\`. What is raised in maintenance has its events and predictions only; what is still there at the end of it acts then.`

export function ruleActionEndpoints(endpoint: Endpoints, { ruleActions }: { ruleActions: RuleActions }): void {
  const page = { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(ruleActionSchema)) } }

  endpoint(
    {
      method: 'get',
      path: '/v1/rule-actions',
      operationId: 'listRuleActions',
      summary: 'List what rules did',
      description: `All actions but \`notify\`. ${CUTS} Those that have ended are kept for 30 days.`,
      tag,
      query: listQuery.extend({ rule: ruleName.optional() }),
      responses: page,
    },
    async ({ tenant, query }) => list(tenant, query.rule, query),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rules/{name}/actions',
      operationId: 'listActionsOfRule',
      summary: 'List what a rule did',
      description: CUTS,
      tag,
      params: ruleParams,
      query: listQuery,
      responses: page,
    },
    async ({ tenant, params, query }) => {
      if (!(await ruleActions.isRule(tenant, params.name))) throw new CastorError('not-found', `There is no rule ${params.name}.`)
      return list(tenant, params.name, query)
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/rule-actions/{id}/retry',
      operationId: 'retryRuleAction',
      summary: 'Have a failed action done again, or one that was cut',
      description: 'As the rule was when the alarm was raised, on the device as it is now.',
      tag,
      params: actionParams,
      responses: { 202: { description: 'It is done within a second or two.', content: jsonContent(ruleActionSchema) } },
      problems: [409],
    },
    async ({ tenant, params }) => {
      const after = await ruleActions.retry(tenant, params.id)
      if (after) return { status: 202, body: ruleActionJson(after) }
      const row = await ruleActions.find(tenant, params.id)
      if (!row) throw new CastorError('not-found', `There is no action ${params.id}.`)
      throw new CastorError('conflict', row.state === 'done' ? 'The action is done already.' : 'The action waits to be done already.')
    },
  )

  async function list(tenant: string, rule: string | undefined, { device, alarm, state, limit, cursor }: z.infer<typeof listQuery>) {
    const after = keyOf('rule-actions', cursor, z.int())
    const rows = await ruleActions.list(tenant, { rule, device, alarm: alarmOf(alarm), states: state, page: { after, limit } })
    return { status: 200 as const, body: pageJson(rows.map(ruleActionJson), limit, () => cursorOf('rule-actions', rows.at(-1)!.number)) }
  }
}

function alarmOf(id: string | undefined): RuleActionQuery['alarm'] {
  if (id === undefined) return undefined
  const [incarnation, n] = id.split('-').map(Number) as [number, number]
  return { incarnation, n }
}

function ruleActionJson(row: RuleActionRow): string {
  const { id, rule, version, incarnation, n, device, turn, place, kind, name, state, at, depth, attempts, due, endedAt } = row
  const { target, result, cutBy, error, commandStatus: status, commandCode: code, commandMessage: message, commandEndedAt } = row
  const shown: z.infer<typeof ruleActionSchema> = {
    ...{ id, rule, version, alarm: `${incarnation}-${n}`, device, on: turn, place, kind },
    ...(name !== null && { name }),
    ...{ state, at: iso(at), depth, attempts },
    ...(state === 'waiting' && { dueAt: iso(due) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
    ...(target !== null && { target }),
    ...(result !== null && { result }),
    ...(status !== null && {
      command: {
        status,
        ...(code !== null && { code }),
        ...(message !== null && { message }),
        ...(commandEndedAt !== null && { endedAt: iso(commandEndedAt) }),
      },
    }),
    ...(cutBy !== null && { cutBy }),
    ...(error !== null && { reason: error }),
  }
  return JSON.stringify(shown)
}
