/** /v1/rules: what readings mean, as data. A change of a live rule reaches the twins through their inboxes; here are its rows. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { RULE_LIMITS } from '../../twin-models/rules/language.ts'
import { RULE_STATUSES } from '../../twin-models/schemas/rule.ts'
import type { Rules } from '../rule-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { expectedVersion, hasChanged } from './etags.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { createRuleCheck, type RuleCheckDeps } from './rule-check.ts'
import {
  etagHeaders,
  MAX_RULE_BYTES,
  newRuleSchema,
  ruleJson,
  ruleParams,
  ruleSchema,
  ruleTag,
  ruleVersionParams,
  ruleVersionSchema,
  versionJson,
  writtenRuleSchema,
} from './rule-json.ts'
import { jsonContent } from './schemas.ts'

export interface RuleDeps extends RuleCheckDeps {
  rules: Rules
}

export function ruleEndpoints(endpoint: Endpoints, deps: RuleDeps): void {
  const { rules } = deps
  const check = createRuleCheck(deps)
  const tag = ruleTag

  endpoint(
    {
      method: 'put',
      path: '/v1/rules/{name}',
      operationId: 'putRule',
      summary: 'Write a rule',
      description: `Its first version, or the next; the same again makes none. A draft does nothing; a live rule is with its twins within seconds, and a draft written over it takes it from them. At most ${RULE_LIMITS.live} live rules are for the devices of one model, those of any model included. What it cannot mean is refused with its place; what is doubtful stands in \`warnings\`.`,
      tag,
      params: ruleParams,
      headers: z.object({ 'If-Match': z.string().optional() }),
      body: { schema: newRuleSchema, types: ['application/json'], maxBytes: MAX_RULE_BYTES },
      responses: {
        200: { description: 'It was there, and is so now.', content: jsonContent(writtenRuleSchema), headers: etagHeaders },
        201: {
          description: 'Made.',
          content: jsonContent(writtenRuleSchema),
          headers: etagHeaders.extend({ Location: z.string() }),
        },
      },
      problems: [409, 412],
    },
    async ({ tenant, caller, params: { name }, body, header }) => {
      const ifVersion = await versionToInsistOn(tenant, name, header('if-match'))
      const warnings = await check(tenant, body, name)
      const { status, model = null, filter = null } = body
      const written = { name, status, model, filter, body: JSON.stringify(body), by: caller, ...(ifVersion !== undefined && { ifVersion }) }
      const put = await rules.put(tenant, written)
      if (put === 'other-version') throw hasChanged((await rules.find(tenant, name))?.version, 'The rule')
      if (typeof put === 'string') throw tooMany(put)
      const isNew = put.outcome === 'made'
      const headers = { etag: `"${put.rule.version}"`, ...(isNew && { location: `/v1/rules/${name}` }) }
      return { status: isNew ? 201 : 200, body: ruleJson(put.rule, warnings), headers }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rules',
      operationId: 'listRules',
      summary: 'List rules',
      tag,
      query: z.strictObject({
        status: z.enum(RULE_STATUSES, 'must be draft or live').optional(),
        model: z.string().min(1).max(128).optional().openapi({ description: 'Those that name this model.' }),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, by name.', content: jsonContent(pageSchema(ruleSchema)) } },
    },
    async ({ tenant, query: { status, model, limit, cursor } }) => {
      const page = { after: keyOf('rules', cursor, z.string()), limit }
      const rows = await rules.list(tenant, { status, model, page })
      const items = rows.map((row) => ruleJson(row))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('rules', rows.at(-1)!.name)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rules/{name}',
      operationId: 'getRule',
      summary: 'Get a rule',
      tag,
      params: ruleParams,
      responses: { 200: { description: 'Its newest version.', content: jsonContent(ruleSchema), headers: etagHeaders } },
    },
    async ({ tenant, params: { name } }) => {
      const rule = await rules.find(tenant, name)
      if (!rule) throw noRule(name)
      return { status: 200, body: ruleJson(rule), headers: { etag: `"${rule.version}"` } }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/rules/{name}',
      operationId: 'deleteRule',
      summary: 'Remove a rule',
      description: 'Its open alarms are cleared. Its versions stay, since alarms name them.',
      tag,
      params: ruleParams,
      responses: { 204: { description: 'Removed.' } },
    },
    async ({ tenant, params: { name } }) => {
      if (!(await rules.remove(tenant, name))) throw noRule(name)
      return { status: 204, body: null }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rules/{name}/versions',
      operationId: 'listRuleVersions',
      summary: 'List the versions of a rule',
      description: 'Also of one that was removed.',
      tag,
      params: ruleParams,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(ruleVersionSchema)) } },
    },
    async ({ tenant, params: { name }, query: { limit, cursor } }) => {
      const after = keyOf('rule versions', cursor, z.int())
      const rows = await rules.versions(tenant, name, { after, limit })
      if (rows.length === 0 && after === undefined) throw noRule(name)
      return { status: 200, body: pageJson(rows.map(versionJson), limit, () => cursorOf('rule versions', rows.at(-1)!.version)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rules/{name}/versions/{version}',
      operationId: 'getRuleVersion',
      summary: 'Get a version of a rule',
      tag,
      params: ruleVersionParams,
      responses: { 200: { description: 'As it was written.', content: jsonContent(ruleVersionSchema) } },
    },
    async ({ tenant, params: { name, version } }) => {
      const row = await rules.version(tenant, name, version)
      if (!row) throw new CastorError('not-found', `There is no version ${version} of a rule ${name}.`)
      return { status: 200, body: versionJson(row) }
    },
  )

  async function versionToInsistOn(tenant: string, name: string, header: string | undefined): Promise<number | undefined> {
    if (header === undefined) return undefined
    const rule = await rules.find(tenant, name)
    if (!rule) throw hasChanged(undefined, 'The rule')
    return expectedVersion(header, rule.version, 'The rule')
  }
}

function tooMany(what: 'too-many-rules' | 'too-many-live' | 'too-many-versions'): CastorError {
  const { rules, live, versions } = RULE_LIMITS
  const details = {
    'too-many-rules': `There are ${rules} rules already, which is the most. Remove one that is no longer needed.`,
    'too-many-live': `${live} live rules are for devices of this model already, those of any model included, which is the most. Make one a draft first.`,
    'too-many-versions': `It has ${versions} versions already, which is the most. Write it under another name.`,
  }
  return new CastorError('conflict', details[what])
}

/** Also for one of another tenant. */
function noRule(name: string): CastorError {
  return new CastorError('not-found', `There is no rule ${name}.`)
}
