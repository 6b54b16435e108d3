/** A wanted command, held against the model of its device: what the twin and the bridge need to know of it. */
import { z } from '@hono/zod-openapi'
import { isDeeper } from '../../twin-models/core/plain.ts'
import type { CommandRequest, Value } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceModel, ModelAction } from '../../twin-models/model.ts'
import type { NewCommand } from '../command-ports.ts'
import { problemAt } from './refusals.ts'
import { durationParameter, jsonValue, timeParameter } from './schemas.ts'

export const INPUT_LIMITS = { bytes: 32 * 1024, depth: 16 } as const
const DAY_MS = 86_400_000
const LONGEST_MS = 366 * DAY_MS

export const commandBody = z
  .strictObject({
    name: z.string('must be the name of an action').min(1).max(128),
    input: jsonValue.optional().openapi({ description: 'As the model types it.' }),
    expiresAt: timeParameter.optional().openapi({ description: 'When it is given up. One of this and `timeout`; else the model says.' }),
    timeout: durationParameter(1_000, LONGEST_MS).optional().openapi({ description: 'The same, from now.', example: '5m' }),
    retry: z
      .strictObject({
        every: durationParameter(1_000, DAY_MS).optional().openapi({ description: 'The first wait, doubled each time.', example: '10s' }),
        attempts: z.int('must be a whole number').min(1).max(1_000).optional().openapi({ description: 'How often it is sent at most.' }),
      })
      .optional()
      .openapi({ description: 'Only of actions that are idempotent: others are sent once.' }),
  })
  .openapi('NewCommand', { example: { name: 'diagnose', timeout: '5m' } })

export type CommandBody = z.infer<typeof commandBody>

export interface CheckedCommand {
  row: Pick<NewCommand, 'name' | 'input' | 'repeatable' | 'retryMs' | 'maxAttempts' | 'expiresAt'>
  rules: Pick<CommandRequest, 'concurrency' | 'onlyLast'>
}

export function checkCommand(model: DeviceModel, body: CommandBody, now: number): CheckedCommand {
  const action = model.actions.get(body.name)
  if (!action) {
    const names = [...model.actions.keys()]
    const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    throw refused('/name', `is no action of the model ${model.name}; ${known}`)
  }
  if (body.retry !== undefined && !action.repeatable) {
    throw refused('/retry', `has no meaning for ${action.name}: it may not be repeated, and is sent once`)
  }
  return {
    row: {
      name: action.name,
      input: checkedInput(action, body.input as Value | undefined),
      repeatable: action.repeatable,
      retryMs: body.retry?.every ?? action.retryMs,
      maxAttempts: action.repeatable ? (body.retry?.attempts ?? action.attempts) : 1,
      expiresAt: expiryOf(action, body, now),
    },
    rules: {
      ...(action.concurrency !== undefined && { concurrency: action.concurrency }),
      ...(action.onlyLast && { onlyLast: true }),
    },
  }
}

/** Bounds first: what a schema makes of something huge is nobody's business. */
function checkedInput(action: ModelAction, input: Value | undefined): string | null {
  const text = input === undefined ? null : JSON.stringify(input)
  const { bytes, depth } = INPUT_LIMITS
  if (text !== null && Buffer.byteLength(text) > bytes) throw refused('/input', `is larger than ${bytes} bytes of JSON`, 'too-large')
  if (input !== undefined && isDeeper(input, depth)) throw refused('/input', `is deeper than ${depth} levels`)
  const problem = action.inputProblem(input)
  if (problem === undefined) return text
  const { path, detail } = problemAt('/input', problem)
  throw refused(path, detail)
}

function expiryOf(action: ModelAction, { expiresAt, timeout }: CommandBody, now: number): number {
  if (expiresAt === undefined) return now + (timeout ?? action.timeoutMs)
  if (timeout !== undefined) throw refused('/timeout', 'cannot stand beside expiresAt')
  if (expiresAt <= now) throw refused('/expiresAt', 'is in the past')
  if (expiresAt > now + LONGEST_MS) throw refused('/expiresAt', 'is more than 366 days away')
  return expiresAt
}

function refused(path: string, detail: string, code: 'invalid' | 'too-large' = 'invalid'): CastorError {
  return new CastorError(code, `The command is refused: ${path} ${detail}.`, { errors: [{ path, detail }] })
}
