/** What the command line asks of a running Castor. */
import { constants, openAsBlob } from 'node:fs'
import { access } from 'node:fs/promises'
import { basename } from 'node:path'
import { z } from 'zod'
import { CommandError, fileError } from './command-error.ts'

export interface Castor {
  url: string
  apiKey: string
}

const firmwareSchema = z.object({
  id: z.string(),
  usable: z.boolean(),
  problem: z.object({ detail: z.string() }).optional(),
  signatureAdded: z.boolean().optional(),
})
const keySchema = z.object({ id: z.string(), name: z.string() })
const problemSchema = z.object({ detail: z.string() })

export interface Uploaded extends z.infer<typeof firmwareSchema> {
  isNew: boolean
}

/** Reads the image while it sends it. */
export async function uploadImage(castor: Castor, image: string, manifestFile: string, notes: string | undefined): Promise<Uploaded> {
  const form = new FormData()
  // The manifest first: by it the rest may be refused.
  form.append('manifest', await openFile(manifestFile), basename(manifestFile))
  if (notes !== undefined) form.append('notes', notes)
  form.append('file', await openFile(image), basename(image))
  const { status, body } = await ask(castor, '/v1/firmware', { body: form })
  return { ...firmwareSchema.parse(body), isNew: status === 201 }
}

/** openAsBlob does not say what is wrong with a file. */
async function openFile(file: string): Promise<Blob> {
  await access(file, constants.R_OK).catch(fileError(file))
  return openAsBlob(file)
}

export async function trustKey(castor: Castor, name: string, publicKey: string): Promise<z.infer<typeof keySchema>> {
  const { body } = await ask(castor, '/v1/release-keys', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, publicKey }),
  })
  return keySchema.parse(body)
}

async function ask({ url, apiKey }: Castor, path: string, request: RequestInit): Promise<{ status: number; body: unknown }> {
  const headers = { ...(request.headers as Record<string, string>), authorization: `Bearer ${apiKey}` }
  const response = await fetch(`${url}${path}`, { method: 'POST', ...request, headers }).catch((error: Error) => {
    const why = error.cause instanceof Error ? error.cause.message : error.message
    throw new CommandError(`No Castor answers at ${url} (${why}). Start one with \`npm start\`, or name it with --url.`)
  })
  const text = await response.text()
  const body: unknown = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined
  if (response.ok) return { status: response.status, body }
  const detail = problemSchema.safeParse(body).data?.detail ?? text.slice(0, 500)
  throw new CommandError(`Castor refused it with status ${response.status}: ${detail}`)
}
