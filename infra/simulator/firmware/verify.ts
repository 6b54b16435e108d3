/**
 * What a device checks before it installs anything: that the platform's key wants it of this device now, that a release key vouches for
 * exactly these bytes, and that they fit and are no step back. Neither key alone installs foreign firmware.
 *
 * Pure: what the device knows of itself is an argument. What is wrong for good is `rejected`, what may be right another time `failed`.
 */
import type { KeyObject } from 'node:crypto'
import type { z } from 'zod'
import { type Envelope, envelopeSchema, verifiedPayload } from '../../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, type Job, jobSchema } from '../../../twin-models/firmware/job.ts'
import { MANIFEST_TYPE, type Manifest, manifestSchema } from '../../../twin-models/firmware/manifest.ts'

/** Keys by id. They come with the device, not over the line that updates come by. */
export interface Trust {
  director: ReadonlyMap<string, KeyObject>
  release: ReadonlyMap<string, KeyObject>
}

/** What came down: nothing of it is believed yet. */
export interface Offer {
  /** Of the topic. */
  id: string
  job: unknown
  manifest: unknown
}

export interface Self {
  tenant: string
  device: string
  model: string
  hardware: string
  /** Undefined: it has not learnt yet which registration it has; it believes the first job. */
  registration: number | undefined
  runs: { version: string; sha256: string }
  /** Of what runs. Undefined: that came from the factory, and names nothing that may be returned to. */
  manifest: Manifest | undefined
  /** Counter of what it ran last of each line of releases. */
  counters: ReadonlyMap<string, number>
  /** Of the jobs that it has answered. */
  nonces: ReadonlySet<string>
  battery: number
  freeBytes: number
}

export interface Refusal {
  status: 'failed' | 'rejected'
  code: string
  message: string
  /** The platform did sign it for this device. */
  job?: Job
}

export type Verdict = { status: 'accepted'; job: Job; manifest: Manifest } | Refusal

export function verifyUpdate(offer: Offer, self: Self, trust: Trust, now: number): Verdict {
  const signedJob = signed(offer.job, JOB_TYPE, trust.director, jobSchema, 'job')
  if ('code' in signedJob) return signedJob
  const job = signedJob.body
  const notMine = notForMe(job, offer.id, self)
  if (notMine) return notMine
  if (Date.parse(job.expires) <= now) return { ...failed('job-expired', `The job expired at ${job.expires}.`), job }
  const signedManifest = signed(offer.manifest, MANIFEST_TYPE, trust.release, manifestSchema, 'manifest')
  if ('code' in signedManifest) return { ...signedManifest, job }
  const manifest = signedManifest.body
  const wrong = problemOfManifest(manifest, job, self, now) ?? problemOfOrder(manifest, job, self) ?? unprepared(manifest, self)
  return wrong ? { ...wrong, job } : { status: 'accepted', job, manifest }
}

function notForMe(job: Job, id: string, self: Self): Refusal | undefined {
  const isMine = job.tenant === self.tenant && job.device === self.device
  if (!isMine) return rejected('other-device', `The job is for ${job.tenant}/${job.device}.`)
  if (job.registration !== (self.registration ?? job.registration)) return rejected('other-device', 'The job is for another registration.')
  if (job.update !== id) return rejected('other-update', `The job is of the update ${job.update}.`)
  return self.nonces.has(job.nonce) ? rejected('replayed', 'The job was answered before.') : undefined
}

function problemOfManifest(manifest: Manifest, job: Job, self: Self, now: number): Refusal | undefined {
  const { version, sha256, model, hardware, expires } = manifest
  if (expires !== undefined && Date.parse(expires) <= now) return rejected('manifest-expired', `The manifest expired at ${expires}.`)
  const isWanted = job.firmware.version === version && job.firmware.sha256 === sha256
  if (!isWanted) return rejected('mismatch', `The job wants ${job.firmware.version}, the manifest is of ${version}, or of other content.`)
  if (model !== self.model) return rejected('wrong-model', `It is for the model ${model}.`)
  const fits = hardware.length === 0 || hardware.includes(self.hardware)
  return fits ? undefined : rejected('wrong-hardware', `It is for the hardware ${hardware.join(', ')}.`)
}

/** Down it goes only by a rollback, to a version that the manifest of what runs names. */
function problemOfOrder(manifest: Manifest, job: Job, self: Self): Refusal | undefined {
  const { name, version, counter, sha256 } = manifest
  if (job.kind === 'rollback') {
    const isNamed = self.manifest?.name === name && self.manifest.rollbackTo.includes(version)
    return isNamed ? undefined : rejected('no-way-back', `What runs may not be returned to ${version}.`)
  }
  const last = self.counters.get(name) ?? 0
  if (counter < last) return rejected('downgrade', `Its counter is ${counter}; that of what runs is ${last}.`)
  const isSame = self.manifest?.name !== name || self.manifest.sha256 === sha256
  return counter === last && !isSame ? rejected('downgrade', `Its counter ${counter} is that of other content, which runs.`) : undefined
}

function unprepared({ prerequisites, size }: Manifest, self: Self): Refusal | undefined {
  const { from, minBattery = 0, freeBytes = 0 } = prerequisites
  const { version } = self.runs
  if (from && !from.includes(version)) return rejected('from-version', `It is installed over ${from.join(', ')}; ${version} runs.`)
  const needed = Math.max(size, freeBytes)
  if (needed > self.freeBytes) return failed('no-space', `It needs ${needed} bytes; ${self.freeBytes} are free.`)
  return self.battery < minBattery ? failed('low-battery', `It needs ${minBattery} % of battery; there are ${self.battery}.`) : undefined
}

/** The payload is parsed only after its signature was found good. */
function signed<T>(
  given: unknown,
  type: string,
  keys: ReadonlyMap<string, KeyObject>,
  schema: z.ZodType<T>,
  what: string,
): { body: T } | Refusal {
  const envelope = envelopeSchema.safeParse(given).data
  if (!envelope) return rejected('unreadable', `The ${what} is no signed envelope.`)
  const key = keys.get(keyOf(envelope))
  if (!key) return rejected('untrusted', `The ${what} is signed by ${keyOf(envelope)}, a key that I do not trust.`)
  const payload = verifiedPayload(envelope, type, key)
  if (payload === undefined) return rejected('bad-signature', `The signature of the ${what} is wrong.`)
  const body = schema.safeParse(parsed(payload)).data
  return body === undefined ? rejected('unreadable', `The ${what} lacks what a ${what} has.`) : { body }
}

function keyOf({ signatures }: Envelope): string {
  return signatures[0]!.keyid
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function rejected(code: string, message: string): Refusal {
  return { status: 'rejected', code, message }
}

function failed(code: string, message: string): Refusal {
  return { status: 'failed', code, message }
}
