/** What devices say of their updates: how it is decoded, and what the processor makes of it on a store in memory. */
import { beforeEach, describe, expect, test } from 'vitest'
import { decode } from '../../api/ingest/decode.ts'
import type { Message } from '../../api/ingest/log.ts'
import type { Batch, TwinInput } from '../../twin-models/core/types.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { DeviceRecord, MemoryDatabase, UpdateRecord } from '../support/memory-database.ts'
import { MemoryProcessor } from '../support/memory-processor.ts'

const NOW = Date.UTC(2026, 10, 21)
const UPDATE = '0f0e0d0c-0b0a-4908-8706-050403020100'

describe('a status', () => {
  const status = (payload: unknown, change: Partial<Message> = {}) => {
    const bytes = Buffer.from(JSON.stringify(payload))
    const message: Message = {
      incarnation: 1,
      kind: 'update',
      name: UPDATE,
      receivedAt: NOW,
      payload: bytes,
      size: bytes.length,
      ...change,
    }
    return decode(message, modelOf('thermostat')!, 't-1')
  }
  const reasonsOf = ({ problems }: ReturnType<typeof status>) => problems.map(({ reason, path }) => `${reason} ${path}`.trim())

  test.each<[object, object]>([
    [{ status: 'downloading' }, { status: 'downloading', progress: null }],
    [
      { status: 'downloading', progress: 40.5 },
      { status: 'downloading', progress: '40.5' },
    ],
    [
      { status: 'verifying', progress: { step: 1, of: 2 } },
      { status: 'verifying', progress: '{"step":1,"of":2}' },
    ],
    [
      { status: 'installing', progress: 'flash' },
      { status: 'installing', progress: '"flash"' },
    ],
    [
      { status: 'rebooting', ts: NOW - 5, ageMs: 0, id: 7 },
      { status: 'rebooting', progress: null },
    ],
    [
      { status: 'failed', code: 'no-space', message: '12 kB are free' },
      { status: 'failed', code: 'no-space', message: '12 kB are free' },
    ],
    [
      { status: 'rejected', code: 'bad-signature', progress: 3 },
      { status: 'rejected', code: 'bad-signature' },
    ],
  ])('%j is taken', (payload, word) => {
    const decoded = status(payload)
    expect(decoded.problems).toEqual([])
    expect(decoded.parts.map(({ update }) => update)).toEqual([{ update: UPDATE, word }])
  })

  test.each<[string, unknown, string]>([
    ['a word', 'downloading', 'wrong-type'],
    ['no status', { progress: 1 }, 'wrong-type /status'],
    ['one of commands', { status: 'succeeded' }, 'wrong-type /status'],
    ['one that only Castor gives', { status: 'healthy' }, 'wrong-type /status'],
    ['one that every object has', { status: 'constructor' }, 'wrong-type /status'],
    ['what failed without a code', { status: 'failed', message: 'x' }, 'wrong-type /code'],
    ['what was rejected without a code', { status: 'rejected' }, 'wrong-type /code'],
    ['a long code', { status: 'failed', code: 'x'.repeat(129) }, 'wrong-type /code'],
    ['a bad id', { status: 'installing', id: '' }, 'invalid-id /id'],
  ])('that is wrong (%s): nothing of it is taken', (_, payload, problem) => {
    const decoded = status(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts).toEqual([])
  })

  test.each<[string, object, string, object]>([
    ['progress of 101', { status: 'downloading', progress: 101 }, 'invalid-value /progress', { status: 'downloading', progress: null }],
    ['progress as a list', { status: 'downloading', progress: [1] }, 'wrong-type /progress', { status: 'downloading', progress: null }],
    [
      'progress of 2 kB',
      { status: 'installing', progress: 'x'.repeat(2_000) },
      'value-too-long /progress',
      { status: 'installing', progress: null },
    ],
    [
      'a long message',
      { status: 'failed', code: 'x', message: 'x'.repeat(501) },
      'value-too-long /message',
      { status: 'failed', code: 'x' },
    ],
    ['a field of responses', { status: 'rejected', code: 'x', output: 1 }, 'unknown-field /output', { status: 'rejected', code: 'x' }],
    ['a bad time', { status: 'rebooting', ts: 'now' }, 'invalid-time /ts', { status: 'rebooting', progress: null }],
  ])('with %s: the rest is taken', (_, payload, problem, word) => {
    const decoded = status(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts[0]?.update?.word).toEqual(word)
  })

  test('with a field that it does not have says so in a sentence', () => {
    expect(status({ status: 'rebooting', left: 1 }).problems).toMatchObject([{ detail: 'a word on an update has no left' }])
  })

  test.each(['x', UPDATE.toUpperCase(), `${UPDATE}0`, ''])('of %j is of no update', (name) => {
    const decoded = status({ status: 'downloading' }, { name })
    expect(reasonsOf(decoded)).toEqual(['unknown-update'])
    expect(decoded.parts).toEqual([])
  })

  test('is known again by its id, on each update apart, and not taken for a response', () => {
    const digest = (change: Partial<Message> = {}) => status({ status: 'rebooting', id: '1' }, change).parts[0]?.digest
    expect(digest()).toBe(status({ status: 'failed', code: 'x' }, { id: '1' }).parts[0]?.digest)
    const others = [
      digest({ name: UPDATE.replace('0f', '1f') }),
      digest({ kind: 'response' }),
      status({ status: 'rebooting' }).parts[0]?.digest,
    ]
    expect(others).not.toContain(digest())
  })
})

describe('of what devices say of their updates', () => {
  let on: MemoryProcessor
  let db: MemoryDatabase
  let device: DeviceRecord
  let other: DeviceRecord

  beforeEach(async () => {
    on = await MemoryProcessor.start(NOW)
    db = on.db
    device = db.register('demo', 'd-1', 'thermostat', '1.0.0')
    other = db.register('demo', 'd-2', 'thermostat', '1.0.0')
  })

  const idOf = (n: number) => `0000000d-0000-4000-8000-${String(n).padStart(12, '0')}`
  /** That its device was told of. */
  function update(n: number, change: Partial<UpdateRecord> = {}): UpdateRecord {
    const of = { tenant: 'demo', incarnation: device.incarnation, device: 'd-1', rollout: null, firmware: idOf(0), requestedBy: 'admin' }
    const record = db.update({ id: idOf(n), ...of, kind: 'install' })
    return Object.assign(record, { status: 'notified', attempt: 1, sentAt: NOW - 1, sends: 1, ...change })
  }
  const say = (n: number, payload: object, of = device) => on.accept(of.incarnation, 'update', payload, { name: idOf(n) })
  /** What its twin was given, without its settings and signs of life. */
  function inputs(of = device): TwinInput[] {
    const { sealed, pending } = db.inbox.get(of.incarnation)!
    const all = [sealed, pending].flatMap((text) => (text === null ? [] : (JSON.parse(text) as Batch).inputs))
    return all.filter(({ kind }) => kind !== 'configured' && kind !== 'life')
  }
  const letters = () => db.deadLetters.map(({ topic, reason }) => `${reason} ${topic.split('/').slice(4).join('/')}`)

  test('a step changes columns only, once a tick and forward, and progress belongs to its step', async () => {
    const [one, two] = [update(1), update(2)]
    say(1, { status: 'downloading', progress: 10 })
    say(1, { status: 'downloading', progress: 100 })
    say(1, { status: 'downloading' })
    say(2, { status: 'installing', progress: 5 })
    say(2, { status: 'verifying', progress: 99 })
    const report = await on.processor.tick()
    expect(report!.changes.updateNews).toHaveLength(2)
    expect(one).toMatchObject({ status: 'downloading', progress: '100', answeredAt: NOW, statusAt: NOW, endedAt: null })
    expect(two).toMatchObject({ status: 'installing', progress: '5' })
    on.now += 1_000
    say(1, { status: 'downloading', progress: 50 })
    say(1, { status: 'verifying' })
    say(2, { status: 'downloading', progress: 7 })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'verifying', progress: null, answeredAt: NOW, statusAt: NOW + 1_000 })
    expect(two).toMatchObject({ status: 'installing', progress: '5', statusAt: NOW })
    expect(inputs()).toEqual([{ kind: 'update-step', at: NOW, id: idOf(2), status: 'installing' }])
    expect(db.inbox.get(device.incarnation)!.urgent).toBe(false)
    expect(letters()).toEqual([])
  })

  test('a last word is decided on at once, however often it comes, and ends the sending', async () => {
    const one = update(1)
    say(1, { status: 'verifying', id: 'a' })
    for (const id of ['b', 'c', 'b']) say(1, { status: 'failed', code: 'hash-mismatch', message: 'other bytes', id })
    say(1, { status: 'rejected', code: 'bad-signature' })
    await on.processor.tick()
    expect(inputs()).toEqual([
      { kind: 'update-answer', at: NOW, id: idOf(1), status: 'failed', code: 'hash-mismatch', message: 'other bytes', messageId: 'b' },
      { kind: 'update-answer', at: NOW, id: idOf(1), status: 'rejected', code: 'bad-signature' },
    ])
    expect(db.inbox.get(device.incarnation)!.sealed).not.toBeNull()
    expect(one).toMatchObject({ status: 'verifying', answeredAt: NOW, endedAt: null, code: null })
    expect(letters()).toEqual([])
  })

  test('a last word alone leaves the status as it was', async () => {
    const one = update(1, { status: 'installing', progress: '5', statusAt: NOW - 1 })
    say(1, { status: 'failed', code: 'locked' })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'installing', progress: '5', statusAt: NOW - 1, answeredAt: NOW })
  })

  test('a step of one that soaks is no news; that it failed is', async () => {
    const one = update(1, { status: 'soaking', statusAt: NOW - 1 })
    say(1, { status: 'rebooting', progress: 3 })
    say(1, { status: 'failed', code: 'self-test' })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'soaking', progress: null, statusAt: NOW - 1, answeredAt: null })
    expect(inputs()).toMatchObject([{ kind: 'update-answer', status: 'failed', code: 'self-test' }])
    expect(letters()).toEqual([])
  })

  test('what is said of an attempt that nobody was told of yet was meant for the one before', async () => {
    const one = update(1, { status: 'scheduled', attempt: 2, sentAt: null, sends: 0, code: 'download-failed' })
    say(1, { status: 'failed', code: 'download-failed' })
    say(1, { status: 'downloading', progress: 10 })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'scheduled', progress: null, answeredAt: null })
    expect([inputs(), letters()]).toEqual([[], []])
  })

  test('a word on the update of another device, or on none, is a dead letter and changes nothing', async () => {
    const one = update(1)
    say(1, { status: 'rejected', code: 'x' }, other)
    say(1, { status: 'rebooting' }, other)
    say(7, { status: 'downloading' })
    await on.processor.tick()
    expect(letters()).toEqual([1, 1, 7].map((n) => `unknown-update updates/${idOf(n)}/status`))
    expect([inputs(), inputs(other)]).toEqual([[], []])
    expect(one).toMatchObject({ status: 'notified', answeredAt: null })
  })

  test('a word after the end is a dead letter and changes nothing, unless it says again how it ended', async () => {
    const ended = { endedAt: NOW - 1, statusAt: NOW - 1 }
    const before = [
      update(1, { status: 'healthy', ...ended }),
      update(2, { status: 'failed', code: 'no-space', ...ended }),
      update(3, { status: 'rejected', code: 'bad-signature', ...ended }),
      update(4, { status: 'timed-out', code: 'silent', ...ended }),
    ].map((record) => [record, { ...record }] as const)
    say(1, { status: 'rebooting' })
    say(1, { status: 'failed', code: 'no-space' })
    say(2, { status: 'failed', code: 'no-space' })
    say(2, { status: 'failed', code: 'jammed' })
    say(3, { status: 'rejected', code: 'bad-signature', message: 'again' })
    say(4, { status: 'failed', code: 'silent' })
    await on.processor.tick()
    expect(letters()).toEqual([1, 1, 2, 4].map((n) => `update-ended updates/${idOf(n)}/status`))
    for (const [record, was] of before) expect(record).toEqual(was)
    expect(inputs()).toEqual([])
  })

  test('a last word that finds no room is a dead letter and leaves its update as it was: the job is sent again', async () => {
    const one = update(1)
    for (let n = 0; n < 2_500; n++) on.accept(device.incarnation, 'reported', { state: { n } })
    while ((await on.processor.tick())?.more);
    say(1, { status: 'failed', code: 'no-space' })
    await on.processor.tick()
    expect(letters().at(-1)).toBe(`inbox-full updates/${idOf(1)}/status`)
    expect(one).toMatchObject({ status: 'notified', answeredAt: null })
  })

  test('nothing waits once the device was removed: its open updates end cancelled', async () => {
    const [one, two] = [update(1, { status: 'installing', job: '{}' }), update(2, { status: 'healthy', endedAt: NOW - 1 })]
    on.accept(device.incarnation, 'telemetry', { temperature: 20 })
    await on.processor.tick()
    db.remove(device.incarnation)
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'cancelled', code: 'device-removed', job: null, endedAt: NOW })
    expect(two).toMatchObject({ status: 'healthy', code: null })
  })
})
