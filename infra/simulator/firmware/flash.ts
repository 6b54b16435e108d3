/** What simulated devices have in their flash, kept in the data folder: a second run finds them with the firmware that they were updated to. */
import { z } from 'zod'
import { manifestSchema } from '../../../twin-models/firmware/manifest.ts'
import { readKept, writeKept } from '../kept-file.ts'

const imageSchema = z.object({
  isWell: z.boolean(),
  /** Of what runs. */
  manifest: manifestSchema,
  /** Of what it ran last of each line of releases. */
  counters: z.record(z.string(), z.number()),
})
const flashSchema = z.record(z.string(), imageSchema)

export type Image = z.infer<typeof imageSchema>

export interface Flash {
  /** Undefined: it has what it came with. */
  of(device: string): Image | undefined
  write(device: string, image: Image): void
  save(): void
}

/** Without a file nothing outlives the process. */
export function createFlash(file?: string): Flash {
  const images = new Map(Object.entries((file !== undefined && readKept(file, flashSchema)) || {}))
  let changed = false
  return {
    of: (device) => images.get(device),
    write(device, image) {
      images.set(device, image)
      changed = true
    },
    save() {
      if (file !== undefined && changed) writeKept(file, Object.fromEntries(images))
      changed = false
    },
  }
}
