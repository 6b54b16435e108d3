/** The processor on a store in memory, in cases that are easily wrong; each was found by the simulation (tests/core/simulation/). */
import { beforeEach, expect, test } from 'vitest'
import { type Message, type MessageKind, NO_STREAM } from '../../api/ingest/log.ts'
import type { Batch } from '../../twin-models/core/types.ts'
import type { DeviceRecord, MemoryDatabase } from '../support/memory-database.ts'
import { closeDeadStreams, renewLanes } from '../support/memory-leases.ts'
import { MemoryProcessor } from '../support/memory-processor.ts'

const NOW = Date.UTC(2026, 0, 1)

let on: MemoryProcessor
let db: MemoryDatabase
let device: DeviceRecord

beforeEach(async () => {
  on = await MemoryProcessor.start(NOW)
  db = on.db
  device = db.register('demo', 'd-1', 'pump', '1.0.0')
})

const accept = (kind: MessageKind, payload: string, more: Partial<Message> = {}) => on.accept(device.incarnation, kind, payload, more)

test('a device that connected in the last words of a dead bridge is not connected', async () => {
  accept('connect', '{}', { connection: 1 })
  on.now += 60_000
  renewLanes(db, 'p')
  expect(closeDeadStreams(db, 10)).toEqual([on.stream])
  await on.processor.tick()
  expect(db.inbox.get(device.incarnation)).toMatchObject({ connection: null })
})

test('a device without a connection finds what was wrong with its messages, ten a minute; a connected one is told', async () => {
  for (let n = 0; n < 12; n++) accept('telemetry', '{"pressure": "high"}', { id: `m-${n}` })
  await on.processor.tick()
  expect(db.deviceErrors).toHaveLength(10)
  expect(db.deviceErrors.every(({ stream, incarnation }) => stream === NO_STREAM && incarnation === device.incarnation)).toBe(true)
  expect(JSON.parse(db.deviceErrors[0]!.body)).toMatchObject({
    code: 'wrong-type',
    id: 'm-0',
    count: 1,
    topic: 'castor/v1/demo/d-1/telemetry',
  })
  on.now += 60_000
  renewLanes(db, 'p')
  accept('connect', '{}', { connection: 1 })
  accept('telemetry', '{"pressure": "high"}')
  await on.processor.tick()
  expect(db.deviceErrors.slice(10)).toMatchObject([{ stream: on.stream, body: expect.stringContaining('"count":3') }])
})

test('a request that was written while its device was removed is answered', async () => {
  db.remove(device.incarnation)
  await on.processor.tick()
  await on.processor.tick()
  db.request('00000000-0000-4000-8000-000000000001', 'demo', device.incarnation, 'deliver')
  await on.processor.tick()
  expect([...db.requests.values()]).toMatchObject([{ answeredAt: on.now, answer: '{"removed":true}' }])
})

test('a message that is read by a new model is decided on under its settings', async () => {
  accept('telemetry', '{"temperature": 20}')
  await on.processor.tick()
  on.now += 1_000
  Object.assign(device, { model: 'thermostat' })
  db.request('00000000-0000-4000-8000-000000000001', 'demo', device.incarnation, 'configured')
  db.answer(device.incarnation, 1, db.inbox.get(device.incarnation)!.wake)
  accept('telemetry', '{"temperature": 40}')
  await on.processor.tick()
  const batch = JSON.parse(db.inbox.get(device.incarnation)!.sealed!) as Batch
  expect(batch.inputs.map((input) => input.kind)).toEqual(['configured', 'life', 'reading'])
})
