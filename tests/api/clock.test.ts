/** What a device's clock is worth, by the times that it tells: what is known of it, and when that is written. */

import { beforeEach, describe, expect, test } from 'vitest'
import { noteClock } from '../../api/ingest/clock.ts'
import { encodeCommit } from '../../api/ingest/commit.ts'
import { decode } from '../../api/ingest/decode.ts'
import type { Message } from '../../api/ingest/log.ts'
import { Processor } from '../../api/ingest/processor.ts'
import type { DeviceClock } from '../../twin-models/core/types.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { writeCommit } from '../core/simulation/log-writes.ts'
import { type DeviceRecord, MemoryDatabase } from '../support/memory-database.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import { claimLanes, renewLanes } from '../support/memory-leases.ts'
import { readyMade } from '../support/ready-made-rules.ts'

const NOW = Date.UTC(2026, 10, 21, 12)
const MINUTE = 60_000
const DAY = 86_400_000

describe('the time that a message tells of its clock', () => {
  const ownTime = (payload: object, change: Partial<Message> = {}) => {
    const bytes = Buffer.from(JSON.stringify(payload))
    const message: Message = { incarnation: 1, kind: 'telemetry', receivedAt: NOW, payload: bytes, size: bytes.length, ...change }
    return decode(message, modelOf('thermostat')!, 't-1').ownTime
  }
  const senml = { contentType: 'application/senml+json' }
  const values = { temperature: 1 }

  test.each<[string, object, Partial<Message>, number | null]>([
    ['values alone', values, {}, null],
    ['a time', { ts: NOW - 5, values }, {}, NOW - 5],
    ['a time ahead, as it was told', { ts: NOW + 5_000, values }, {}, NOW + 5_000],
    ['a clock that was never set', { ts: 7, values }, {}, 7],
    ['a clock that was never set, beside an age', { ts: 7, ageMs: 100, values }, {}, 7],
    ['an age alone', { ageMs: 100, values }, {}, null],
    ['the newest of a list', [{ ts: NOW - 9, values }, { ts: NOW - 5, values }, { ts: 7, values }, values], {}, NOW - 5],
    ['a time that is refused', { ts: NOW - 8 * DAY, values }, {}, null],
    ['a device event', { ts: NOW - 5, data: 1 }, { kind: 'event', name: 'door' }, NOW - 5],
    ['SenML with a time', [{ n: 'a', v: 1, t: NOW / 1000 - 1 }], senml, NOW - 1_000],
    ['SenML relative to receipt', [{ n: 'a', v: 1, t: -1 }], senml, null],
    ['SenML beyond all times', [{ n: 'a', v: 1, bt: 1e308, t: 1e308 }], senml, Number.POSITIVE_INFINITY],
  ])('%s', (_, payload, change, told) => {
    expect(ownTime(payload, change)).toBe(told)
  })
})

describe('a clock', () => {
  /** Each step: how long after the one before, how far ahead the time is that it tells; what is known then, null when nothing changed. */
  type Step = [after: number, ahead: number, known: DeviceClock | null]
  const ok = (driftMs: number): DeviceClock => ({ status: 'ok', driftMs })
  const ahead = (driftMs: number): DeviceClock => ({ status: 'ahead', driftMs })

  test.each<[string, Step[]]>([
    [
      'that is good changes nothing after the first message',
      [
        [0, -120, ok(-120)],
        [MINUTE, -80, null],
        [MINUTE, 900, null],
        [MINUTE, -9_000, null],
      ],
    ],
    [
      'whose drift moves by more than ten seconds is written anew',
      [
        [0, 2_000, ahead(2_000)],
        [1, 12_000, null],
        [1, 12_001, ahead(12_001)],
      ],
    ],
    [
      'that is ahead is so until a time is believed',
      [
        [0, 1_001, ahead(1_001)],
        [1, 1, null],
        [1, 0, ok(0)],
        [1, 1_000, null],
      ],
    ],
    [
      'that was never set has no drift',
      [
        [0, -NOW, { status: 'unset' }],
        [1, -NOW + 5, null],
        [1, -120, ok(-120)],
      ],
    ],
    [
      'is not behind because a message is late',
      [
        [0, -120, ok(-120)],
        [MINUTE, -DAY, null],
        [9 * MINUTE - 1, -DAY, null],
      ],
    ],
    [
      'that told nothing better for ten minutes is behind',
      [
        [0, -120, ok(-120)],
        [10 * MINUTE, -DAY, ok(-DAY)],
        [1, -120, ok(-120)],
      ],
    ],
    ['is known from a late message, if that is the first', [[0, -DAY, ok(-DAY)]]],
    [
      'is not known better by what was received before',
      [
        [0, -120, ok(-120)],
        [-1, 5_000, null],
      ],
    ],
    [
      'of any number is one that can be stored',
      [
        [0, Number.POSITIVE_INFINITY, ahead(8.64e15)],
        [1, 1e300, null],
      ],
    ],
  ])('%s', (_, steps) => {
    const device: Parameters<typeof noteClock>[0] = { clock: null }
    let now = NOW
    for (const [after, by, known] of steps) {
      now += after
      expect(noteClock(device, now + by, now)).toBe(known !== null)
      if (known !== null) expect(device.clock).toEqual({ ...known, at: now })
    }
  })
})

describe('the row of a device', () => {
  let db: MemoryDatabase
  let processor: Processor
  let device: DeviceRecord
  let stream: number
  let full: boolean[]
  let now = NOW

  beforeEach(async () => {
    now = NOW
    full = []
    db = new MemoryDatabase(() => now)
    device = db.register('demo', 'd-1', 'thermostat', '1.0.0')
    stream = db.openStream()
    await start()
  })

  async function start(): Promise<void> {
    const store = memoryLaneStore(db)
    const commit: typeof store.commit = async (changes, trial) => {
      full.push(...changes.inboxes.map((inbox) => inbox.full))
      await store.commit(changes, trial)
    }
    const signaller = { deliver: async () => true, remove: async () => true }
    processor = new Processor({ makeRules: readyMade, store: { ...store, commit }, signaller, clock: () => now, pause: async () => {} })
    for (const lane of db.lanes.values()) Object.assign(lane, { owner: null })
    await processor.takeOver(claimLanes(db, 'p', 16))
  }

  /** What the row says of the clock after a message that was received a second after the one before. */
  async function clockAfter(payload: object, more: Partial<Message> = {}): Promise<unknown> {
    now += 1_000
    renewLanes(db, 'p')
    const bytes = Buffer.from(JSON.stringify(payload))
    const message: Message = {
      incarnation: device.incarnation,
      kind: 'telemetry',
      receivedAt: now,
      payload: bytes,
      size: bytes.length,
      ...more,
    }
    writeCommit(db, encodeCommit(stream, db.streams.get(stream)!.entries.length + 1, now, [message], true))
    await processor.tick()
    return JSON.parse(db.inbox.get(device.incarnation)!.clock ?? 'null')
  }

  test('says nothing of a clock until a message has a time of its own, and keeps what it says when none has', async () => {
    expect(await clockAfter({ temperature: 20 })).toBeNull()
    expect(await clockAfter({ ts: now + 900, values: { temperature: 20 } })).toEqual({ status: 'ok', driftMs: -100 })
    expect(await clockAfter({ temperature: 20 })).toEqual({ status: 'ok', driftMs: -100 })
    expect(await clockAfter({ status: 'online' }, { kind: 'presence' })).toEqual({ status: 'ok', driftMs: -100 })
  })

  test('is written as a whole only when the clock went another way', async () => {
    await clockAfter({ ts: now, values: { temperature: 20 } })
    full = []
    for (const ts of [now + 1_000, now + 2_000, now + 4_000, now + 3_000 + 3_600_000, now + 4_000 + 3_600_000])
      await clockAfter({ ts, values: { temperature: 20 } })
    expect(full).toEqual([false, false, false, true, false])
    expect(db.inbox.get(device.incarnation)).toMatchObject({ clock: '{"status":"ahead","driftMs":3599000}', sealed: expect.any(String) })
  })

  test('is read again by the next owner, which goes on from there', async () => {
    await clockAfter({ ts: now, values: { temperature: 20 } })
    await start()
    full = []
    expect(await clockAfter({ ts: now - DAY, values: { temperature: 20 } })).toEqual({ status: 'ok', driftMs: -1_000 })
    expect(full).toEqual([false])
  })

  test('does not blame the clock for a repetition or a last will', async () => {
    const event = { id: 'e-1', ts: now + 3_600_000, data: 1 }
    const known = { status: 'ahead', driftMs: 3_599_000 }
    expect(await clockAfter(event, { kind: 'event', name: 'door' })).toEqual(known)
    now += 3_600_000
    expect(await clockAfter(event, { kind: 'event', name: 'door' })).toEqual(known)
    expect(await clockAfter({ status: 'offline', ts: now }, { kind: 'will' })).toEqual(known)
  })
})
