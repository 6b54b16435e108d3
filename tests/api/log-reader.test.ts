/** How far the watermark may move. Found by the simulation (tests/core/simulation/). */
import { expect, test } from 'vitest'
import { HEARTBEAT_LANE } from '../../api/ingest/log.ts'
import { LogReader } from '../../api/ingest/log-reader.ts'
import { MemoryDatabase } from '../support/memory-database.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import { claimLanes } from '../support/memory-leases.ts'

test('the watermark does not pass what a stream holds that was opened while others were read', async () => {
  let now = 1_000
  const db = new MemoryDatabase(() => now)
  const store = memoryLaneStore(db)
  const first = db.openStream()
  const append = (stream: number, lane: number, at: number): void => {
    const { entries } = db.streams.get(stream)!
    entries.push({ stream, seq: entries.length + 1, lane, at, heads: '[]', body: Buffer.alloc(0) })
  }
  append(first, HEARTBEAT_LANE, 1_000)
  let lanes = claimLanes(db, 'p', 16)
  let streamsWereListed = (): void => {}
  const reader = new LogReader({
    ...store,
    streams: async () => {
      const streams = await store.streams()
      streamsWereListed()
      return streams
    },
  })
  const read = async () => {
    const result = await reader.read(lanes)
    reader.committed(result, 10)
    lanes = result.lanes
    return result
  }
  await read()

  now = 2_000
  streamsWereListed = () => {
    streamsWereListed = () => {}
    append(db.openStream(), 5, 2_000)
    append(first, HEARTBEAT_LANE, 2_100)
  }
  await read()
  expect(lanes[5]!.cursors).not.toHaveProperty('2')
  expect(lanes[5]!.watermark).toBeLessThanOrEqual(2_000)

  await read()
  await read()
  append(2, HEARTBEAT_LANE, 3_000)
  append(first, HEARTBEAT_LANE, 3_100)
  await read()
  await read()
  expect(lanes[5]!.watermark).toBe(3_000)
})
