/**
 * Watches the disk that holds the data: at 10 % free nothing more is taken in, aloud, while reading goes on (docs/architecture.md
 * §3.13). Taking in begins again by itself at 12 %, so that it does not flicker.
 */
import { statfs } from 'node:fs/promises'
import type { Logger } from 'pino'

export const REFUSE_BELOW = 0.1
export const RESUME_AT = 0.12

export interface DiskGuard {
  full(): boolean
  stop(): void
}

/** The free share of what an ordinary user may fill, 0 to 1, as `df` counts. */
export type DiskProbe = () => Promise<number>

export function folderProbe(folder: string): DiskProbe {
  return async () => {
    const { bavail, bfree, blocks } = await statfs(folder)
    const used = blocks - bfree
    return used + bavail === 0 ? 1 : bavail / (used + bavail)
  }
}

export async function watchDisk(probe: DiskProbe, log: Logger, intervalMs = 2000): Promise<DiskGuard> {
  let full = false
  let looking = false
  const timer = setInterval(look, intervalMs)
  timer.unref()
  await look()
  return { full: () => full, stop: () => clearInterval(timer) }

  async function look(): Promise<void> {
    if (looking) return
    looking = true
    try {
      const free = await probe()
      const was = full
      full = free < (full ? RESUME_AT : REFUSE_BELOW)
      const percent = (free * 100).toFixed(1)
      if (full && !was) log.error({ free }, `Only ${percent} % of the disk is free: no messages are accepted until there is room`)
      if (!full && was) log.warn({ free }, `${percent} % of the disk is free again: messages are accepted`)
    } catch (error) {
      log.warn({ err: error }, 'The free space of the disk could not be read')
    } finally {
      looking = false
    }
  }
}
