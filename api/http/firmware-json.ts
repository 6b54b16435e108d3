/** Firmware as REST shows it. */
import { z } from '@hono/zod-openapi'
import { envelopeSchema } from '../../twin-models/firmware/envelope.ts'
import { USABLE_PROBLEMS, type UsableProblem, usableProblem } from '../../twin-models/firmware/usable.ts'
import type { FirmwareRow } from '../firmware-ports.ts'
import { iso, time } from './schemas.ts'

const problems = Object.keys(USABLE_PROBLEMS) as [UsableProblem, ...UsableProblem[]]

export const firmwareSchema = z
  .object({
    id: z.uuid(),
    name: z.string().openapi({ description: 'The line of releases that it belongs to.', example: 'thermostat' }),
    model: z.string(),
    version: z.string().openapi({ example: '1.3.0' }),
    counter: z.int().openapi({ description: 'Rises with every release.' }),
    size: z.int(),
    sha256: z.string(),
    manifest: z.record(z.string(), z.unknown()).openapi({ description: 'As it is signed.' }),
    usable: z.boolean().openapi({ description: 'It may be rolled out and downloaded.' }),
    problem: z
      .object({ code: z.enum(problems), detail: z.string() })
      .optional()
      .openapi({ description: 'Why it may not.' }),
    key: z.string().optional().openapi({ description: 'Id of the release key that signed it.' }),
    expiresAt: time.optional(),
    notes: z.string(),
    createdAt: time,
    createdBy: z.string(),
    withdrawnAt: time.optional(),
  })
  .openapi('Firmware')

export const signedFirmwareSchema = firmwareSchema.extend({
  envelope: envelopeSchema.optional().openapi({ description: 'DSSE: the manifest and its signature, as devices get it.' }),
})

export function firmwareJson(row: FirmwareRow, now: number, more: object = {}): string {
  return JSON.stringify({ ...shown(row, now), ...more })
}

export function signedFirmwareJson(row: FirmwareRow, now: number): string {
  return JSON.stringify({ ...shown(row, now), ...(row.envelope !== null && { envelope: JSON.parse(row.envelope) }) })
}

function shown(row: FirmwareRow, now: number): object {
  const { id, name, model, version, counter, size, sha256, manifest, key, expiresAt, notes, createdAt, createdBy, withdrawnAt } = row
  const code = usableProblem(row, now)
  return {
    ...{ id, name, model, version, counter, size, sha256, manifest: JSON.parse(manifest), usable: code === undefined },
    ...(code !== undefined && { problem: { code, detail: USABLE_PROBLEMS[code] } }),
    ...(key !== null && { key }),
    ...(expiresAt !== null && { expiresAt: iso(expiresAt) }),
    ...{ notes, createdAt: iso(createdAt), createdBy },
    ...(withdrawnAt !== null && { withdrawnAt: iso(withdrawnAt) }),
  }
}
