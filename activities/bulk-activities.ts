/** Activities of bulk changes, on the queue `operations`. The first one validates whatever the workflow was started with. */
import type { Logger } from 'pino'
import { z } from 'zod'
import { CastorError } from '../twin-models/errors.ts'
import { parseFilter } from '../twin-models/filter/parse.ts'
import type { DeviceModel } from '../twin-models/model.ts'
import { bulkChangeRequest, bulkRequestOf, type Change } from '../twin-models/schemas/bulk-change.ts'
import type { BulkCarried, BulkEnd } from '../workflows/messages.ts'
import { createAttempt } from './failures.ts'
import type { BulkChange, BulkLook, BulkStanding, BulkStore, CommandRules } from './ports.ts'

/** How it stands is absent in what was recorded before it was told. */
type Begun = Pick<BulkCarried, 'id' | 'tenant' | 'title' | 'pace'> & Partial<BulkStanding>

export interface BulkActivities {
  /** What REST registered is found by its id; what an operator starts is validated and registered. Then its devices are chosen. */
  beginBulkChange(start: { id: string; workflow: string; tenant?: unknown; [field: string]: unknown }): Promise<Begun>
  advanceBulkChange(step: { id: string; tenant: string; upTo: number; status: BulkCarried['status']; reason?: string }): Promise<BulkLook>
  endBulkChange(end: { id: string; tenant: string; status: BulkEnd['status'] }): Promise<BulkLook>
}

export interface BulkDependencies {
  bulk: BulkStore
  models: (name: string) => DeviceModel | undefined
  log: Logger
}

/** Who starts workflows in the Temporal UI is the platform's operator. */
const OPERATOR = 'operator'

export function createBulkActivities({ bulk, models, log }: BulkDependencies): BulkActivities {
  const attempt = createAttempt(log, 'a bulk change')

  const rulesFor =
    ({ command }: Change) =>
    (model: string): CommandRules | undefined =>
      command && models(model)?.actions.get(command.name)

  async function known(tenant: string, id: string): Promise<BulkChange> {
    const change = await bulk.find(tenant, id)
    if (!change) throw new CastorError('not-found', `There is no bulk change ${id} of tenant ${tenant}.`)
    return change
  }

  async function begin({ id, workflow, tenant, ...request }: Parameters<BulkActivities['beginBulkChange']>[0]): Promise<Begun> {
    if (!z.uuid().safeParse(id).success) throw new CastorError('invalid', 'The id of a bulk change is a UUID. Leave it out to begin one.')
    const change = Object.keys(request).length === 0 ? await known(String(tenant), id) : await register(String(tenant ?? ''), id, request)
    const standing = await chosen(change, workflow)
    log.info({ id, tenant, workflow }, 'A bulk change begins')
    return { id, tenant: change.tenant, title: titleOf(change), pace: change.pace, ...standing }
  }

  async function chosen(change: BulkChange, workflow: string): Promise<BulkStanding> {
    try {
      return await bulk.select(change, workflow, (model) => changeProblem(change.change, models(model)))
    } catch (error) {
      if (error instanceof CastorError && error.code === 'invalid')
        await bulk.advance(change, { upTo: 0, status: 'failed', reason: error.message }, () => undefined)
      throw error
    }
  }

  async function register(tenant: string, id: string, request: unknown): Promise<BulkChange> {
    const parsed = bulkChangeRequest.safeParse(request)
    if (!parsed.success) throw new CastorError('invalid', `The input of bulkChange is not valid: ${z.prettifyError(parsed.error)}`)
    const change = { ...bulkRequestOf(parsed.data), id, tenant, by: OPERATOR }
    parseFilter(change.filter)
    if (!(await bulk.register(change))) throw new CastorError('invalid', `There is no tenant ${JSON.stringify(tenant)}.`)
    return change
  }

  return {
    beginBulkChange: (start) => attempt('beginBulkChange', () => begin(start)),
    advanceBulkChange: ({ id, tenant, upTo, status, reason }) =>
      attempt('advanceBulkChange', async () => {
        const change = await known(tenant, id)
        return bulk.advance(change, { upTo, status, ...(reason && { reason }) }, rulesFor(change.change))
      }),
    endBulkChange: ({ id, tenant, status }) =>
      attempt('endBulkChange', async () => bulk.advance(await known(tenant, id), { upTo: 0, status }, () => undefined)),
  }
}

/** Why devices of a model cannot take it; undefined when they can. */
export function changeProblem(change: Change, model: DeviceModel | undefined): string | undefined {
  if (!model) return 'unknown-model'
  if (change.wish) {
    for (const [name, value] of Object.entries(change.wish)) {
      const property = model.properties.get(name)
      if (!property?.writable) return `${name} is not writable`
      const problem = value === null ? undefined : property.problemOf(value)
      if (problem !== undefined) return `${name} ${problem}`
    }
    return undefined
  }
  const action = model.actions.get(change.command.name)
  return action ? action.inputProblem(change.command.input) : `knows no command ${change.command.name}`
}

function titleOf({ filter, change, by }: BulkChange): string {
  const what = change.wish ? `Wish \`${short(JSON.stringify(change.wish))}\`` : `Command \`${change.command.name}\``
  return `${what} for \`${short(filter)}\`, asked by \`${short(by)}\`.`
}

function short(text: string): string {
  const clean = text.replace(/[`\r\n]/g, ' ')
  return clean.length > 200 ? `${clean.slice(0, 200)}…` : clean
}
