/** What the api does beside answering, now and then: partitions ahead of time, and what is old or dead is removed. */
import type { Logger } from 'pino'
import type { FolderStore } from '../firmware/folder-store.ts'
import { forgetEndedCommands } from '../postgres/commands.ts'
import type { Sql } from '../postgres/connect.ts'
import { unnamedImages } from '../postgres/firmware.ts'
import { forgetOldAnswers } from '../postgres/idempotency.ts'
import { ensurePartitions } from '../postgres/partitions.ts'

const EVERY_MS = 10 * 60_000
/** Of some thousand rows each, at a time. */
const MOST_STEPS = 20

export interface HousekeepingOptions {
  sql: Sql
  firmwareStore: FolderStore
  log: Logger
}

/** What a dead process left of uploads is removed at once. */
export function keepHouse({ sql, firmwareStore, log }: HousekeepingOptions): { stop(): void } {
  const works: Array<[what: string, work: () => Promise<unknown>]> = [
    ['partitions', () => ensurePartitions(sql, new Date())],
    ['idempotency keys', () => inSteps(() => forgetOldAnswers(sql))],
    ['commands', () => inSteps(() => forgetEndedCommands(sql))],
    ['images', () => firmwareStore.removeUnnamed((sha256s) => unnamedImages(sql, sha256s))],
    ['uploads', () => firmwareStore.removeLeftovers()],
  ]
  const run = async (chosen: typeof works) => {
    for (const [what, work] of chosen)
      await work().catch((error: unknown) => log.warn({ err: error, what }, 'Housekeeping failed; tried again later'))
  }
  const timer = setInterval(() => void run(works), EVERY_MS)
  void run(works.slice(-1))
  return { stop: () => clearInterval(timer) }
}

async function inSteps(forget: () => Promise<number>): Promise<void> {
  for (let step = 0; step < MOST_STEPS && (await forget()) > 0; step++);
}
