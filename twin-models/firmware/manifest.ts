/**
 * The manifest of a firmware artifact: what the release key signs, offline (docs/rollouts.md). Devices check it before they install anything.
 *
 * Members that this version does not know are kept and signed with the rest: `delta` will stand among them one day.
 */
import { z } from 'zod'
import { NAME_PATTERN } from '../ids.ts'

export const MANIFEST_TYPE = 'application/vnd.castor.firmware-manifest+json; version=1'

const SHA256 = /^[0-9a-f]{64}$/
export const version = z
  .string('must be a version')
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/, 'must be a version like 1.3.0: a letter or digit, then those or . _ + -, up to 64')
const MANY = 100

export const manifestSchema = z.looseObject({
  type: z.literal('firmware'),
  /** The line of releases that it belongs to; counters are compared within one. */
  name: z.string().regex(NAME_PATTERN),
  model: z.string().regex(NAME_PATTERN),
  version,
  /** Rises with every release; a device goes down only by a rollback. */
  counter: z
    .int()
    .min(1)
    .max(2 ** 48),
  /** Hardware that it is for. Empty: any. */
  hardware: z.array(z.string().min(1).max(64)).max(MANY),
  size: z.int().min(1),
  sha256: z.string().regex(SHA256, '64 hex digits, in lower case'),
  prerequisites: z.strictObject({
    /** Versions that it can be installed over. Absent: any. */
    from: z.array(version).min(1).max(MANY).optional(),
    /** Percent. */
    minBattery: z.number().min(0).max(100).optional(),
    freeBytes: z.int().min(0).optional(),
  }),
  /** Versions that a device with this one may go back to. */
  rollbackTo: z.array(version).max(MANY),
  issued: z.iso.datetime(),
  /** Nobody installs it later. */
  expires: z.iso.datetime().optional(),
})

export type Manifest = z.infer<typeof manifestSchema>
