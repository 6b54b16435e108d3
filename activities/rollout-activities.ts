/** Activities of rollouts, on the queue `operations`. The first one validates whatever the workflow was started with. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { z } from 'zod'
import type {
  RolloutAction,
  RolloutAsk,
  RolloutDirection,
  RolloutPlan,
  RolloutReturn,
  RolloutSpec,
} from '../twin-models/core/rollout-types.ts'
import { CastorError } from '../twin-models/errors.ts'
import { rolloutAskOf } from '../twin-models/rollout-ask.ts'
import { rolloutRequest, rolloutSpecOf } from '../twin-models/schemas/rollout.ts'
import { rolloutArguments } from '../twin-models/schemas/rollout-arguments.ts'
import type { RolloutAbout } from '../workflows/messages.ts'
import { createAttempt } from './failures.ts'
import type { Rollout, RolloutLook, RolloutPreview, RolloutStore, RolloutStoreStep } from './rollout-ports.ts'

export interface RolloutBegun {
  id: string
  tenant: string
  plan: RolloutPlan
  about: RolloutAbout
  /** Where an earlier run of it has come to. */
  carried?: NonNullable<Rollout['carried']>
  /** What it was started with the wish for. */
  ask?: RolloutAsk
  /** For whoever approves it. */
  preview?: RolloutPreview | { problem: string }
}

type Of = { id: string; tenant: string }
export type RolloutChoice = Of & { direction: RolloutDirection; which?: RolloutReturn }

export interface RolloutActivities {
  /** What REST registered is found by its id; what an operator starts is validated and registered. */
  beginRollout(start: { id: string; workflow: string; tenant?: unknown; [field: string]: unknown }): Promise<RolloutBegun>
  /** `problem`: why they cannot be chosen as things stand. */
  chooseForRollout(choice: RolloutChoice): Promise<{ problem?: string }>
  joinRollout(choice: RolloutChoice): Promise<{ problem?: string }>
  stepRollout(step: Of & RolloutStoreStep): Promise<RolloutLook>
}

const HALT: RolloutAsk = { action: 'halt', interrupted: true }
/** Who starts workflows in the Temporal UI is the platform's operator. */
const OPERATOR = 'operator'

export function createRolloutActivities({ rollouts, log }: { rollouts: RolloutStore; log: Logger }): RolloutActivities {
  const attempt = createAttempt(log, 'a rollout')

  async function known(tenant: string, id: string): Promise<Rollout> {
    const rollout = await rollouts.find(tenant, id)
    if (!rollout)
      throw new CastorError(
        'not-found',
        `There is no rollout ${id} of tenant ${tenant}. A new one needs a name, firmware, and filter or group.`,
      )
    return rollout
  }

  async function begin({
    id,
    workflow,
    tenant,
    ask,
    interrupted,
    ...request
  }: Parameters<RolloutActivities['beginRollout']>[0]): Promise<RolloutBegun> {
    const asked = interrupted === true ? HALT : ask === undefined ? undefined : askOf(ask)
    if (typeof tenant !== 'string' || tenant === '')
      throw new CastorError('invalid', 'The input of rollout needs a tenant: {"tenant": "demo", …}.')
    const rollout = Object.keys(request).length === 0 ? await known(tenant, id) : await register(tenant, id, request)
    await rollouts.claim(rollout, workflow)
    log.info({ id: rollout.id, tenant: rollout.tenant, workflow }, 'A rollout begins')
    const { spec, by, carried } = rollout
    const isDraft = carried === undefined && spec.approval !== 'none'
    return {
      ...{ id: rollout.id, tenant: rollout.tenant, plan: planOf(spec, by), about: aboutOf(rollout) },
      ...(carried && { carried }),
      ...(asked && { ask: asked }),
      ...(isDraft && { preview: await orProblem(() => rollouts.preview(rollout)) }),
    }
  }

  async function register(tenant: string, id: string, request: unknown): Promise<Rollout> {
    const parsed = rolloutRequest.safeParse(request)
    if (!parsed.success) throw new CastorError('invalid', `The input of rollout is not valid: ${z.prettifyError(parsed.error)}`)
    const registered = z.uuid().safeParse(id).success ? id : randomUUID()
    await rollouts.register({ id: registered, tenant, spec: rolloutSpecOf(parsed.data), by: OPERATOR })
    return known(tenant, registered)
  }

  return {
    beginRollout: (start) => attempt('beginRollout', () => begin(start)),
    chooseForRollout: ({ tenant, id, direction, which }) =>
      attempt('chooseForRollout', async () => {
        const rollout = await known(tenant, id)
        return (await orProblem(() => rollouts.choose(rollout, direction, which))) ?? {}
      }),
    joinRollout: ({ tenant, id, direction, which }) =>
      attempt('joinRollout', async () => {
        const rollout = await known(tenant, id)
        return (await orProblem(() => rollouts.join(rollout, direction, which))) ?? {}
      }),
    stepRollout: ({ tenant, id, ...step }) => attempt('stepRollout', async () => rollouts.step(await known(tenant, id), step)),
  }
}

/** What a person can mend (a group that is gone, too many devices) is told, not tried again. */
async function orProblem<T>(run: () => Promise<T>): Promise<T | { problem: string }> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof CastorError && error.code === 'invalid') return { problem: error.message }
    throw error
  }
}

function askOf(given: unknown): RolloutAsk {
  const { action, ...argument } = (typeof given === 'object' && given !== null ? given : {}) as { action?: unknown }
  if (!Object.hasOwn(rolloutArguments, String(action)))
    throw new CastorError('invalid', `ask must be {"action": …} with one of ${Object.keys(rolloutArguments).join(', ')}.`)
  const asked = rolloutAskOf(action as RolloutAction, argument)
  if (asked.problem !== undefined) throw new CastorError('invalid', asked.problem)
  return asked.ask
}

function planOf({ gate, failures, soakMs, pace, onHalt, lateJoiners, approval }: RolloutSpec, by: string): RolloutPlan {
  return { gate, failures, soakMs, pace, onHalt, lateJoiners, approval, by }
}

function aboutOf({ spec, createdAt }: Rollout): RolloutAbout {
  const { name, firmware, target, soakMs, waves, rollbackWaves, window } = spec
  return {
    ...{ name, firmware, target: target.group ?? target.filter, isGroup: target.group !== undefined },
    ...{ createdAt, soakMs, waves: waves.map(waveWords), rollbackWaves: rollbackWaves.map(waveWords) },
    ...(window && { window: windowWords(window) }),
  }
}

function windowWords({ from, to, days, timeZone = 'UTC' }: NonNullable<RolloutSpec['window']>): string {
  return `${days ? `${days.join(', ')} ` : ''}${from} to ${to}, by the clock of each device, else of ${timeZone}`
}

function waveWords(wave: RolloutSpec['waves'][number]): string {
  if ('percent' in wave) return `${wave.percent} %`
  return 'count' in wave ? `${wave.count} more` : `group ${wave.group}`
}
