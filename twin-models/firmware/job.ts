/**
 * The job: what the platform's key signs online, for one device and one attempt. It goes down with the manifest: neither key alone installs
 * foreign firmware (Uptane's director and image repository).
 */
import { z } from 'zod'
import type { UpdateRelease } from '../core/effects.ts'
import type { TwinKey } from '../ids.ts'
import { canonicalJson, type Envelope, envelopeSchema } from './envelope.ts'

export const JOB_TYPE = 'application/vnd.castor.update-job+json; version=1'

export const jobSchema = z.looseObject({
  type: z.literal('update-job'),
  /** Id of the update. */
  update: z.uuid(),
  tenant: z.string(),
  device: z.string(),
  /** Of the device's registration: one that was deleted and registered again is another device. */
  registration: z.int(),
  attempt: z.int().min(1),
  /** A device that saw it before has done this job. */
  nonce: z.string().min(16).max(64),
  /** `rollback`: an older release is wanted; the manifest of what runs names the versions that may be returned to. */
  kind: z.enum(['install', 'rollback']),
  firmware: z.object({ version: z.string(), sha256: z.string() }),
  issued: z.iso.datetime(),
  /** The device begins no later than this. */
  expires: z.iso.datetime(),
})
export type Job = z.infer<typeof jobSchema>

/** What the platform signs of a job: its canonical JSON. Makes an envelope of it. */
export type SignJob = (payload: string) => Envelope

/** Payload of the job for a device that may be told from now on. `now` in epoch ms. */
export function jobFor({ tenant, device, incarnation }: TwinKey, release: UpdateRelease, nonce: string, now: number): string {
  const { id, attempt, kind, firmware, until } = release
  const times = { issued: new Date(now).toISOString(), expires: new Date(until).toISOString() }
  const job: Job = { type: 'update-job', update: id, tenant, device, registration: incarnation, attempt, nonce, kind, firmware, ...times }
  return canonicalJson(job)
}

/** Payload of `updates/{id}/job`; over HTTP it is the member `update` of what is pending, with its `id`. */
export const jobMessageSchema = z.object({
  job: envelopeSchema,
  manifest: envelopeSchema,
  /** Where the artifact is downloaded from, with GET; for this device and update, until the job and its time to install have passed. */
  url: z.url(),
})
export type JobMessage = z.infer<typeof jobMessageSchema>
