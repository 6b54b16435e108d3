/** What a simulated device knows of itself: who it is, what runs, what vouches for that, and which jobs it has answered. Bounded, as its flash is. */
import type { Job } from '../../../twin-models/firmware/job.ts'
import type { Manifest } from '../../../twin-models/firmware/manifest.ts'
import type { SimulatedDevice } from '../devices/device.ts'
import type { Image } from './flash.ts'
import type { Self } from './verify.ts'

export interface Memory {
  /** As it is now. */
  self(): Self
  /** Its job is done, whatever comes of it. */
  answered(job: Job): void
  /** What is to be kept of it. */
  boots(manifest: Manifest, isWell: boolean): Image
  cancel(id: string): void
  isCancelled(id: string): boolean
  forgetRegistration(): void
}

export interface Identity {
  tenant: string
  id: string
  hardware: string
  device: SimulatedDevice
}

/** The jobs of older updates have expired. */
const REMEMBERED = 100
const FREE_BYTES = 64 * 2 ** 20

/** `image`: what it has in its flash, if it was updated before. */
export function createMemory({ tenant, id, hardware, device }: Identity, image?: Image): Memory {
  const nonces = new Set<string>()
  const cancelled = new Set<string>()
  const counters = new Map(Object.entries(image?.counters ?? {}))
  let manifest = image?.manifest
  let registration: number | undefined
  return {
    self() {
      const { model, firmware } = device
      const { battery } = device.health()
      const known = { registration, runs: firmware, manifest, counters, nonces }
      return { tenant, device: id, model, hardware, ...known, battery, freeBytes: FREE_BYTES }
    },
    answered(job) {
      registration ??= job.registration
      keep(nonces, job.nonce)
    },
    boots(next, isWell) {
      manifest = next
      counters.set(next.name, next.counter)
      return { isWell, manifest, counters: Object.fromEntries(counters) }
    },
    cancel: (update) => keep(cancelled, update),
    isCancelled: (update) => cancelled.has(update),
    forgetRegistration() {
      registration = undefined
    },
  }
}

function keep(set: Set<string>, item: string): void {
  set.add(item)
  const [oldest] = set
  if (set.size > REMEMBERED) set.delete(oldest!)
}
