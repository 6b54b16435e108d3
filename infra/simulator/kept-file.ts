/** Files in the data folder that a second run reads again; for their owner's eyes only. */
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { z } from 'zod'

/** Undefined: absent or damaged. */
export function readKept<T>(file: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return undefined
  }
}

export function writeKept(file: string, value: unknown): void {
  const next = `${file}.${process.pid}`
  writeFileSync(next, JSON.stringify(value), { mode: 0o600 })
  chmodSync(next, 0o600)
  renameSync(next, file)
}
