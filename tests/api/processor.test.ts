/** The processor on a store in memory, in cases that are easily wrong; each was found by the simulation (tests/core/simulation/). */
import { beforeEach, expect, test } from 'vitest'
import { encodeCommit } from '../../api/ingest/commit.ts'
import type { Message, MessageKind } from '../../api/ingest/log.ts'
import { Processor } from '../../api/ingest/processor.ts'
import type { Batch } from '../../twin-models/core/types.ts'
import { writeCommit } from '../core/simulation/log-writes.ts'
import { type DeviceRecord, MemoryDatabase } from '../support/memory-database.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import { claimLanes, closeDeadStreams, renewLanes } from '../support/memory-leases.ts'

const NOW = Date.UTC(2026, 0, 1)

let db: MemoryDatabase
let processor: Processor
let device: DeviceRecord
let stream: number
let now = NOW

beforeEach(async () => {
  now = NOW
  db = new MemoryDatabase(() => now)
  const signaller = { deliver: async () => true, remove: async () => true }
  processor = new Processor({ store: memoryLaneStore(db), signaller, clock: () => now, pause: async () => {} })
  device = db.register('demo', 'd-1', 'pump', '1.0.0')
  stream = db.openStream()
  await processor.takeOver(claimLanes(db, 'p', 16))
})

function accept(kind: MessageKind, payload: string, more: Partial<Message> = {}): void {
  const bytes = Buffer.from(payload)
  const message: Message = { incarnation: device.incarnation, kind, receivedAt: now, payload: bytes, size: bytes.length, ...more }
  const seq = db.streams.get(stream)!.entries.length + 1
  writeCommit(db, encodeCommit(stream, seq, now, [message], true))
}

test('a device that connected in the last words of a dead bridge is not connected', async () => {
  accept('connect', '{}', { connection: 1 })
  now += 60_000
  renewLanes(db, 'p')
  expect(closeDeadStreams(db, 10)).toEqual([stream])
  await processor.tick()
  expect(db.inbox.get(device.incarnation)).toMatchObject({ connection: null })
})

test('a request that was written while its device was removed is answered', async () => {
  db.remove(device.incarnation)
  await processor.tick()
  await processor.tick()
  db.request('00000000-0000-4000-8000-000000000001', 'demo', device.incarnation, 'deliver')
  await processor.tick()
  expect([...db.requests.values()]).toMatchObject([{ answeredAt: now, answer: '{"removed":true}' }])
})

test('a message that is read by a new model is decided on under its settings', async () => {
  accept('telemetry', '{"temperature": 20}')
  await processor.tick()
  now += 1_000
  Object.assign(device, { model: 'thermostat' })
  db.request('00000000-0000-4000-8000-000000000001', 'demo', device.incarnation, 'configured')
  db.answer(device.incarnation, 1, db.inbox.get(device.incarnation)!.wake)
  accept('telemetry', '{"temperature": 40}')
  await processor.tick()
  const batch = JSON.parse(db.inbox.get(device.incarnation)!.sealed!) as Batch
  expect(batch.inputs.map((input) => input.kind)).toEqual(['configured', 'life', 'reading'])
})
