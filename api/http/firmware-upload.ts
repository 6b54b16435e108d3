/**
 * POST /v1/firmware: the manifest first, then the file, which goes straight into the store. Whatever can be refused by the manifest is refused
 * before a byte of the file is read, and nothing is kept but what is exactly the size and hash that the manifest names.
 */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import type { FirmwareRow, FirmwareRows, FirmwareSignature, FirmwareStore, StoredUpload } from '../firmware-ports.ts'
import { MAX_ARTIFACT_BYTES } from '../firmware-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { firmwareJson, firmwareSchema } from './firmware-json.ts'
import { jsonOf } from './json-body.ts'
import { type CheckedManifest, checkManifest, type ManifestDeps } from './manifest-check.ts'
import { readParts, textOf } from './multipart.ts'
import { jsonContent } from './schemas.ts'

export interface UploadDeps extends ManifestDeps {
  firmware: FirmwareRows
  firmwareStore: FirmwareStore
}

/** From the request to its answer: a gigabyte over a slow line. */
export const UPLOAD_MS = 60 * 60_000
/** Of one tenant. */
const MOST_UPLOADS = 4
const MAX_NOTES_BYTES = 16 * 1024
const MAX_ENVELOPE_BYTES = 128 * 1024
const LIMITS = { parts: 3, bytes: MAX_ARTIFACT_BYTES + 512 * 1024, stallMs: 30_000 }

interface TakenIn {
  row: FirmwareRow
  isNew: boolean
  /** It was there without a signature that counts, which it has now. */
  isSigned?: boolean
}

const uploadedSchema = firmwareSchema
  .extend({
    signatureAdded: z.literal(true).optional().openapi({ description: 'The very same was there, and has its signature by this.' }),
  })
  .openapi('UploadedFirmware')
const binary = z.any().openapi({ type: 'string', format: 'binary' })
const form = z.object({
  manifest: z.string().openapi({
    description:
      'The envelope that `npm run firmware -- sign` wrote, or a manifest that nobody has signed yet: as JSON, up to 128 kB, before the file.',
  }),
  notes: z.string().optional().openapi({ description: 'Up to 16 kB.' }),
  file: binary.openapi({ description: 'The image; of the size and SHA-256 that the manifest names, up to 1 GiB.' }),
})

export function firmwareUploadEndpoint(endpoint: Endpoints, deps: UploadDeps): void {
  const { firmware, firmwareStore, now } = deps
  const uploads = new Map<string, number>()

  endpoint(
    {
      method: 'post',
      path: '/v1/firmware',
      operationId: 'uploadFirmware',
      summary: 'Upload firmware',
      description:
        'The same again gives 200. What nobody has signed can be kept, but is neither rolled out nor downloaded until its signature is there.',
      tag: 'Firmware',
      upload: form,
      responses: {
        200: { description: 'The very same was there.', content: jsonContent(uploadedSchema) },
        201: { description: 'It is stored.', content: jsonContent(uploadedSchema), headers: z.object({ Location: z.string() }) },
      },
      problems: [403, 409, 413, 415],
      deadlineMs: UPLOAD_MS,
    },
    async ({ tenant, caller, request }) => {
      const underway = uploads.get(tenant) ?? 0
      if (underway >= MOST_UPLOADS) throw tooManyUploads()
      uploads.set(tenant, underway + 1)
      try {
        const { row, isNew, isSigned } = await takeIn(request, tenant, caller)
        const headers: Record<string, string> = isNew ? { location: `/v1/firmware/${row.id}` } : {}
        return { status: isNew ? 201 : 200, body: firmwareJson(row, now(), isSigned ? { signatureAdded: true } : {}), headers }
      } finally {
        const left = uploads.get(tenant)! - 1
        if (left > 0) uploads.set(tenant, left)
        else uploads.delete(tenant)
      }
    },
  )

  async function takeIn(request: Request, tenant: string, caller: string): Promise<TakenIn> {
    let checked: CheckedManifest | undefined
    let upload: StoredUpload | undefined
    let notes = ''
    try {
      for await (const part of readParts(request, LIMITS)) {
        if (part.name === 'manifest' && !checked) {
          const value = jsonOf(await textOf(part, MAX_ENVELOPE_BYTES), 'The manifest')
          checked = await checkManifest(deps, tenant, value)
          const before = await firmware.findVersion(tenant, checked.manifest.name, checked.manifest.version)
          if (before) refuseOther(before, checked)
          else await refuseCounter(tenant, checked.manifest)
        } else if (part.name === 'notes') notes = await textOf(part, MAX_NOTES_BYTES)
        else if (part.name !== 'file' || upload) throw refusedPart(part.name)
        else if (!checked) throw invalid('manifest', 'The part manifest has to come before the part file.')
        else upload = await firmwareStore.put(part.content, checked.manifest.size)
      }
      if (!checked) throw invalid('manifest', 'The part manifest is missing.')
      if (!upload) throw invalid('file', 'The part file is missing.')
      refuseMismatch(upload, checked)
      // Before the row: what a row names is there.
      await upload.keep()
    } catch (error) {
      await upload?.discard()
      throw error
    }
    return insert(checked, { tenant, notes, createdBy: caller })
  }

  /** A device takes none that has the counter of what runs and other bytes. */
  async function refuseCounter(tenant: string, { name, version, counter }: Manifest): Promise<void> {
    const same = await firmware.findCounter(tenant, name, counter)
    // The same version: another upload of it came in between, and what it is is looked at when this one is stored.
    if (!same || same.version === version) return
    const message = `Firmware ${name} ${same.version} has the counter ${counter} already: it rises with every release. Sign ${version} with a higher one.`
    throw new CastorError('conflict', message)
  }

  async function insert(
    { manifest, text, signature }: CheckedManifest,
    who: { tenant: string; notes: string; createdBy: string },
  ): Promise<TakenIn> {
    const { name, model, version, counter, size, sha256, expires } = manifest
    const expiresAt = expires === undefined ? null : Date.parse(expires)
    const values = { name, model, version, counter, size, sha256, manifest: text, signature, expiresAt }
    const isNew = await firmware.insert({ ...values, ...who, id: randomUUID() })
    const row = await firmware.findVersion(who.tenant, name, version)
    if (!row) {
      // Another release came in between.
      await refuseCounter(who.tenant, manifest)
      throw new CastorError('internal', `Firmware ${name} ${version} is not there after it was stored.`)
    }
    if (isNew) return { row, isNew }
    refuseOther(row, { manifest, text, signature })
    if (!signature) return { row, isNew }
    const signed = await withSignature(firmware, who.tenant, row, signature)
    return { row: signed, isNew, isSigned: signed.key !== row.key }
  }
}

/** Adds it, where there is none that counts. */
export async function withSignature(
  firmware: FirmwareRows,
  tenant: string,
  row: FirmwareRow,
  signature: FirmwareSignature,
): Promise<FirmwareRow> {
  if (row.key === signature.key) return row
  const isSigned = await firmware.sign(tenant, row.id, signature)
  const after = await firmware.find(tenant, row.id)
  if (after && (isSigned || after.key === signature.key)) return after
  throw new CastorError('conflict', `Firmware ${row.name} ${row.version} is signed already, by the release key ${after?.key}.`)
}

/** A version is one artifact for ever. */
function refuseOther(row: FirmwareRow, { manifest, text }: CheckedManifest): void {
  const it = `Firmware ${row.name} ${row.version}`
  if (row.sha256 !== manifest.sha256 || row.size !== manifest.size)
    throw new CastorError('conflict', `${it} is there already with other bytes (SHA-256 ${row.sha256}). Give the new image a new version.`)
  if (row.manifest !== text)
    throw new CastorError('conflict', `${it} is there already with another manifest. Give the new one a new version.`)
}

function refuseMismatch({ sha256, size }: StoredUpload, { manifest }: CheckedManifest): void {
  if (size !== manifest.size) throw invalid('file', `The file has ${size} bytes, and its manifest names ${manifest.size}.`)
  if (sha256 !== manifest.sha256)
    throw invalid('file', `The file is not what its manifest names: its SHA-256 is ${sha256}, not ${manifest.sha256}.`)
}

function refusedPart(name: string): CastorError {
  const shown = JSON.stringify(name.slice(0, 100))
  return new CastorError('invalid', `The part ${shown} is not known, or is there twice: there are manifest, notes and file, once each.`)
}

function invalid(part: string, message: string): CastorError {
  return new CastorError('invalid', message, { errors: [{ path: `/${part}`, detail: message }] })
}

function tooManyUploads(): CastorError {
  return new CastorError('unavailable', `${MOST_UPLOADS} uploads are under way already. Try again when one has ended.`, {
    retryAfterSeconds: 30,
  })
}
