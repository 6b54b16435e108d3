/**
 * POST /v1/rollouts/{id}/{action}: what a person asks of a rollout. It is a row until its workflow is told, within a second; what makes no sense
 * is refused at once, by the same pure core that the workflow decides with.
 */
import { z } from '@hono/zod-openapi'
import { steer } from '../../twin-models/core/rollout-steer.ts'
import { ROLLOUT_LIMITS, type RolloutAction, type RolloutAsk } from '../../twin-models/core/rollout-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { rolloutArguments } from '../../twin-models/schemas/rollout-arguments.ts'
import type { Registry } from '../ports.ts'
import type { RolloutStanding, Rollouts } from '../rollout-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { rolloutSchema, shownRollout } from './rollout-json.ts'
import { noRollout, rolloutParams, rolloutTag } from './rollouts.ts'
import { jsonContent } from './schemas.ts'

export interface RolloutActionDeps {
  rollouts: Rollouts
  registry: Pick<Registry, 'find'>
  now: () => number
}

const MAX_BODY_BYTES = 4 * 1024
const answered = rolloutSchema
  .extend({ answer: z.string().openapi({ description: 'What becomes of it.', example: 'It is paused: no further device is asked.' }) })
  .openapi('AnsweredRollout')

interface Action {
  summary: string
  description?: string
  /** `approve` takes nothing over REST: the caller approves. */
  argument: z.ZodType<object>
}

const ACTIONS: Record<RolloutAction, Action> = {
  approve: {
    summary: 'Approve a draft: it begins',
    description: 'The caller approves. With `"approval": "four-eyes"` that has to be somebody else than who asked for it.',
    argument: z.strictObject({}),
  },
  pause: { summary: 'Ask no further devices until it is resumed', argument: rolloutArguments.pause },
  resume: {
    summary: 'Go on after a pause or a halt',
    description:
      'After a halt all failures until then are acknowledged: it does not halt because of them again. 409 while its firmware is withdrawn, expired, or its key revoked.',
    argument: rolloutArguments.resume,
  },
  advance: { summary: 'Go on to the next wave without waiting for the gate', argument: rolloutArguments.advance },
  halt: {
    summary: 'Halt it: no further device is asked',
    description: '`running` says whether updates under way go on (`continue`) or are cancelled; else the rollout’s `onHalt`.',
    argument: rolloutArguments.halt.openapi({ example: { running: 'cancel' } }),
  },
  rollback: {
    summary: 'Send devices back to what they ran before',
    description:
      'In the waves of `rollbackWaves`: those that run the new version (`updated`), or only those of them that did not end healthy (`failed`). Also of a rollout that has ended.',
    argument: rolloutArguments.rollback.openapi({ example: { which: 'updated' } }),
  },
  cancel: {
    summary: 'End it: no further device is asked',
    description: '`running` says whether updates under way go on (`continue`) or are cancelled; else the rollout’s `onHalt`.',
    argument: rolloutArguments.cancel.openapi({ example: { running: 'continue' } }),
  },
  pace: { summary: 'Change its pace', argument: rolloutArguments.pace.openapi({ example: { perSecond: 10, atOnce: 500 } }) },
  exclude: {
    summary: 'Leave a device out',
    description: 'It is not asked; an update of it that is under way is cancelled. Also of a draft.',
    argument: rolloutArguments.exclude.openapi({ example: { device: 't-1' } }),
  },
}

export function rolloutActionEndpoints(endpoint: Endpoints, { rollouts, registry, now }: RolloutActionDeps): void {
  for (const [action, { summary, description, argument }] of Object.entries(ACTIONS) as Array<[RolloutAction, Action]>) {
    endpoint(
      {
        method: 'post',
        path: `/v1/rollouts/{id}/${action}`,
        operationId: `${action}Rollout`,
        summary,
        ...(description !== undefined && { description }),
        tag: rolloutTag,
        params: rolloutParams,
        body: { schema: argument, types: ['application/json'], maxBytes: MAX_BODY_BYTES, optional: true },
        responses: { 202: { description: 'Its workflow is told within a second.', content: jsonContent(answered) } },
        problems: [409],
      },
      async ({ tenant, caller: by, params: { id }, body }) => {
        const ask = { action, ...body, ...(action === 'approve' && { by: approver(by) }) } as RolloutAsk
        if (!(await rollouts.find(tenant, id))) throw noRollout(id)
        if (ask.action === 'exclude' && !(await registry.find(tenant, ask.device))) throw noSuchDevice(ask.device)
        const taken = await rollouts.ask(tenant, id, { by, ask }, (standing) => answerOf(standing, ask, now()))
        if (taken === undefined) throw noRollout(id)
        if (taken === 'too-many')
          throw new CastorError('unavailable', 'Its workflow is yet to be told of what was asked before. Try again.', {
            retryAfterSeconds: 5,
          })
        const row = await rollouts.find(tenant, id)
        if (!row) throw noRollout(id)
        return { status: 202, body: JSON.stringify({ ...shownRollout(row), answer: taken.answer }) }
      },
    )
  }
}

/** Throws why it makes no sense, after what was asked before it. */
function answerOf({ state, plan, counts, asked, unusable }: RolloutStanding, ask: RolloutAsk, now: number): string {
  const then = asked.reduce((before, earlier) => {
    const steered = steer(before, plan, earlier.ask, counts, now, unusable)
    return steered.refused === undefined ? steered.state : before
  }, state)
  const steered = steer(then, plan, ask, counts, now, unusable)
  if (steered.refused !== undefined) throw new CastorError('conflict', steered.refused)
  return steered.answer
}

/** Its workflow takes no other name, and says so to nobody who asks over REST. Made to fit, it might be that of another. */
function approver(name: string): string {
  if (rolloutArguments.approve.safeParse({ by: name }).success) return name
  throw new CastorError(
    'conflict',
    `The name of this API key cannot stand as who approved: it must have 1 to ${ROLLOUT_LIMITS.by} characters in one line. Approve with another key.`,
  )
}

function noSuchDevice(device: string): CastorError {
  const message = `There is no device ${device}.`
  return new CastorError('invalid', message, { errors: [{ path: '/device', detail: message }] })
}
