/** Leases of lanes in memory: infra/postgres/leases.ts, held to the same suite (tests/conformance/lane-store.ts). */
import type { Lane } from '../../api/ingest/lane-store.ts'
import { LEASE_SECONDS } from '../../infra/postgres/leases.ts'
import type { LaneRecord, MemoryDatabase } from './memory-database.ts'

const ALIVE_MS = 5_000

export function shareOfLanes(db: MemoryDatabase, processor: string): number {
  const now = db.clock()
  db.processors.set(processor, now)
  const alive = [...db.processors.values()].filter((beatAt) => beatAt > now - ALIVE_MS).length
  return Math.ceil(db.lanes.size / alive)
}

/** A lane that a transaction is writing is left out here, where Postgres would wait: its owner asks again soon. */
export function renewLanes(db: MemoryDatabase, processor: string): number[] {
  const held = [...db.lanes.values()].filter(({ owner }) => owner === processor)
  for (const lane of held) lane.leaseUntil = db.clock() + LEASE_SECONDS * 1000
  return held.map(({ lane }) => lane)
}

export function claimLanes(db: MemoryDatabase, processor: string, count: number): Lane[] {
  const free = [...db.lanes.values()].filter(({ owner, leaseUntil, lock }) => lock === null && (owner === null || leaseUntil < db.clock()))
  const taken = free.slice(0, Math.max(count, 0))
  for (const lane of taken) {
    lane.owner = processor
    lane.epoch++
    lane.leaseUntil = db.clock() + LEASE_SECONDS * 1000
  }
  return taken.map(laneOfRecord)
}

export function releaseLanes(db: MemoryDatabase, processor: string, lanes: number[]): void {
  for (const lane of lanes) {
    const record = db.lanes.get(lane)
    if (record?.owner !== processor) continue
    record.owner = null
    record.leaseUntil = 0
  }
}

/** Lanes as they stand. Waits for a transaction that still writes one of them. */
export async function currentLanes(db: MemoryDatabase, lanes: number[]): Promise<Lane[]> {
  for (const lane of lanes) while (db.lanes.get(lane)?.lock) await db.lanes.get(lane)?.lock
  return lanes.flatMap((lane) => db.lanes.get(lane) ?? []).map(laneOfRecord)
}

export function closeDeadStreams(db: MemoryDatabase, silentSeconds: number): number[] {
  const closed = [...db.streams.values()].filter(({ closedAt, beatAt }) => closedAt === null && beatAt < db.clock() - silentSeconds * 1000)
  for (const stream of closed) stream.closedAt = db.clock()
  return closed.map(({ stream }) => stream)
}

function laneOfRecord({ lane, epoch, cursors, watermark, graceSince }: LaneRecord): Lane {
  return { lane, epoch, cursors: JSON.parse(cursors), watermark, graceSince, stored: cursors }
}
