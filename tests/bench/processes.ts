/** CPU time and memory of processes and all their descendants, out of /proc. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** USER_HZ, fixed at 100 for what /proc shows on Linux. */
const TICKS_A_SECOND = 100

interface Stat {
  pid: number
  parent: number
  /** Its own and its ended children's, which it has waited for. */
  cpuSeconds: number
}

/** `named` gives the root of each tree; a process belongs to the nearest root above it. */
export function cpuSeconds(named: Record<string, number>): Record<string, number> {
  return overTrees(named, (stat) => stat.cpuSeconds)
}

/** Proportional memory (Pss): what several processes share, as Postgres does its buffers, counts once. */
export function memoryMb(named: Record<string, number>): Record<string, number> {
  const sizes = overTrees(named, (stat) => proportionalKb(stat.pid) / 1024)
  for (const name of Object.keys(sizes)) sizes[name] = Math.round(sizes[name]!)
  return sizes
}

/** The processes that a supervisor started, by what they are; itself as `supervisor`. */
export function namedProcesses(supervisor: number): Record<string, number> {
  const named: Record<string, number> = { supervisor }
  for (const { pid, parent } of stats()) {
    if (parent !== supervisor) continue
    const command = readOrNothing(`/proc/${pid}/cmdline`).split('\0')
    const name = nameOf(command)
    if (name) named[name] = pid
  }
  return named
}

function nameOf(command: string[]): string | undefined {
  const role = ['bridge', 'processor', 'worker', 'api', 'dispatcher'].find((name) => command.slice(1).includes(name))
  // The Temporal binary in the cache has its version in its name.
  return role ?? ['postgres', 'temporal'].find((name) => basename(command[0] ?? '').startsWith(name))
}

function overTrees(named: Record<string, number>, of: (stat: Stat) => number): Record<string, number> {
  const rootNames = new Map(Object.entries(named).map(([name, pid]) => [pid, name]))
  const all = new Map(stats().map((stat) => [stat.pid, stat]))
  const sums: Record<string, number> = Object.fromEntries(Object.keys(named).map((name) => [name, 0]))
  for (const stat of all.values()) {
    let above: Stat | undefined = stat
    while (above && !rootNames.has(above.pid)) above = all.get(above.parent)
    const name = above && rootNames.get(above.pid)
    if (name) sums[name]! += of(stat)
  }
  return sums
}

function stats(): Stat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const text = readOrNothing(`/proc/${name}/stat`)
      if (!text) return []
      // The name in brackets may hold anything: fields are counted from the last bracket.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0)
      return [{ pid: Number(name), parent: Number(fields[1]), cpuSeconds: ticks / TICKS_A_SECOND }]
    })
}

function proportionalKb(pid: number): number {
  const rollup = readOrNothing(`/proc/${pid}/smaps_rollup`)
  const pss = /^Pss:\s+(\d+) kB/m.exec(rollup)
  if (pss) return Number(pss[1])
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/status`))?.[1] ?? 0)
}

/** A process may end between two looks. */
function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
