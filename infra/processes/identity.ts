/**
 * Which process a pid means. Pids are used again, so a pid alone must never be killed: with the start time it names one process for
 * good. Used for what outlives us (embedded Postgres, the Temporal server) and for the lock on the data folder.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ProcessIdentity {
  pid: number
  /** Opaque; equal only for the same process. */
  started: string
}

/** The identity of a living process, or null when there is none (a zombie is none). */
export function identityOf(pid: number): ProcessIdentity | null {
  const started = process.platform === 'linux' ? startedOnLinux(pid) : startedElsewhere(pid)
  return started === null ? null : { pid, started }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.started === identity.started
}

export interface StopSteps {
  signal: NodeJS.Signals
  waitMs: number
}

/** Sends each signal in turn and waits for the end; returns whether the process ended. Only ever signals this very process. */
export async function stopProcess(identity: ProcessIdentity, steps: StopSteps[]): Promise<boolean> {
  for (const { signal, waitMs } of steps) {
    if (!isAlive(identity)) return true
    try {
      process.kill(identity.pid, signal)
    } catch {
      return !isAlive(identity)
    }
    if (await ended(identity, waitMs)) return true
  }
  return !isAlive(identity)
}

async function ended(identity: ProcessIdentity, waitMs: number): Promise<boolean> {
  const until = performance.now() + waitMs
  while (isAlive(identity)) {
    if (performance.now() > until) return false
    await sleep(20)
  }
  return true
}

/** Field 22 of /proc/pid/stat is the start in ticks since boot; the name before it may hold spaces and parentheses. */
function startedOnLinux(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return null
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${fields[19]}`
  } catch {
    return null
  }
}

function startedElsewhere(pid: number): string | null {
  try {
    if (process.platform === 'win32') {
      process.kill(pid, 0)
      return 'alive'
    }
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5000 }).trim()
    return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '')
  } catch {
    return null
  }
}
