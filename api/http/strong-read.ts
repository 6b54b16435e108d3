/**
 * `?consistency=strong`: a request goes through the twin's inbox behind all that was processed before; when it is answered, the
 * workflow has decided that, and is asked for its document. The latest values are read after that.
 */
import { CastorError } from '../../twin-models/errors.ts'
import type { TwinRow, Twins, TwinWorkflows } from '../ports.ts'
import type { TwinAnswers } from './twin-answers.ts'

/** Undefined: the device went away meanwhile. */
export type StrongRead = (tenant: string, row: TwinRow) => Promise<TwinRow | undefined>

export interface StrongReadDeps {
  twins: Twins
  answers: TwinAnswers
  workflows: TwinWorkflows
  /** How long an answer is waited for. */
  waitMs: number
}

export function createStrongRead({ twins, answers, workflows, waitMs }: StrongReadDeps): StrongRead {
  return async (tenant, row) => {
    if (answers.isFull()) throw new CastorError('unavailable', 'Too many wait for their twins already.', { retryAfterSeconds: 2 })
    const { device, incarnation } = row
    const asked = await answers.ask({ tenant, incarnation, kind: 'deliver', body: {} }, waitMs)
    if (!asked) return undefined
    if (!asked.answer) {
      throw new CastorError('unavailable', 'The twin did not answer in time. Read without consistency=strong, or try again.', {
        retryAfterSeconds: 5,
      })
    }
    const twin = await workflows.query({ tenant, device, incarnation })
    const current = await twins.find(tenant, device)
    if (!current || current.incarnation !== incarnation) return undefined
    // Postgres may be ahead by now, never behind what the answer said; without a workflow it has all there is.
    if (!twin || twin.revision < current.revision) return current
    return { ...current, revision: twin.revision, decided: JSON.stringify(twin.decided) }
  }
}
