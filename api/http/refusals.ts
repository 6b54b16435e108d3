/** Refusals that several resources give. */
import { CastorError } from '../../twin-models/errors.ts'

/** Also for a device of another tenant: its being there is nothing to tell. */
export function noDevice(id: string): CastorError {
  return new CastorError('not-found', `There is no device ${id}.`)
}

export function taken(id: string): CastorError {
  return new CastorError('conflict', `There is a device ${id} already.`, { errors: [{ path: '/id', detail: 'is taken' }] })
}

/** What a model says of a value (`/inner/path must be …` or `must be …`), at its place in the request. */
export function problemAt(path: string, problem: string): { path: string; detail: string } {
  const [, inner = '', detail] = /^(?:(\/\S*) )?(.*)$/s.exec(problem)!
  return { path: `${path}${inner}`, detail: detail! }
}

/** A device whose model is shipped no more can be read, but nothing new can be checked for it. */
export function modelGone(device: string, model: string): CastorError {
  return new CastorError(
    'conflict',
    `The device ${device} has the model ${model}, which is not there any more. Give it another model first.`,
  )
}
