/** Refusals that several resources give. */
import { CastorError } from '../../twin-models/errors.ts'

/** Also for a device of another tenant: its being there is nothing to tell. */
export function noDevice(id: string): CastorError {
  return new CastorError('not-found', `There is no device ${id}.`)
}

export function taken(id: string): CastorError {
  return new CastorError('conflict', `There is a device ${id} already.`, { errors: [{ path: '/id', detail: 'is taken' }] })
}
