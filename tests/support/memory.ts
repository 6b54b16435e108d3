/** How much memory processes have at their peak, by name. Only Linux tells; elsewhere nothing is found. */
import { readFileSync } from 'node:fs'
import type { ProcessIdentity } from '../../infra/processes/identity.ts'

export interface MemoryWatch {
  /** Greatest resident size seen, in MB. */
  peaks(): Record<string, number>
  stop(): void
}

const SAMPLE_MS = 1_000

export function watchMemory(pids: () => Promise<Record<string, ProcessIdentity | undefined>>): MemoryWatch {
  const peaks: Record<string, number> = {}
  const sample = async () => {
    for (const [name, identity] of Object.entries(await pids().catch(() => ({})))) {
      if (identity) peaks[name] = Math.max(peaks[name] ?? 0, residentMegabytes((identity as ProcessIdentity).pid))
    }
  }
  const timer = setInterval(() => void sample(), SAMPLE_MS)
  return { peaks: () => ({ ...peaks }), stop: () => clearInterval(timer) }
}

export function residentMegabytes(pid: number): number {
  try {
    const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Math.round(Number(line?.[1] ?? 0) / 1024)
  } catch {
    return 0
  }
}
