/** What devices answer to wishes and commands, and what others ask of them: through the processor on a store in memory. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Batch, TwinInput } from '../../twin-models/core/types.ts'
import { updateRequest } from '../support/asked-twin.ts'
import type { CommandRecord, DeviceRecord, MemoryDatabase } from '../support/memory-database.ts'
import { MemoryProcessor } from '../support/memory-processor.ts'

const NOW = Date.UTC(2026, 0, 1)
const HEALTHY = { health: { ok: true }, firmware: { version: '1' }, uptimeSeconds: 5, errors: [] }

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

const idOf = (n: number) => `0000000c-0000-4000-8000-${String(n).padStart(12, '0')}`
function command(n: number, change: Partial<CommandRecord> = {}): CommandRecord {
  const { incarnation } = device
  const of = { id: idOf(n), tenant: 'demo', incarnation, device: 'd-1', name: 'diagnose', input: null, requestedBy: 'admin' }
  return Object.assign(db.command({ ...of, repeatable: true, retryMs: 1_000, maxAttempts: 5, expiresAt: NOW + 60_000 }), change)
}
const respond = (n: number, payload: object, of = device) => on.accept(of.incarnation, 'response', payload, { name: idOf(n) })
/** What its twin was given, without its settings and signs of life. */
function inputs(of = device): TwinInput[] {
  const { sealed, pending } = db.inbox.get(of.incarnation)!
  const all = [sealed, pending].flatMap((text) => (text === null ? [] : (JSON.parse(text) as Batch).inputs))
  return all.filter(({ kind }) => kind !== 'configured' && kind !== 'life')
}
const letters = () => db.deadLetters.map(({ topic, reason }) => `${reason} ${topic.split('/').slice(4).join('/')}`)

describe('a response', () => {
  test('that says how far the device is changes columns only, once a tick and forward', async () => {
    const [one, two] = [command(1, { status: 'sent' }), command(2, { status: 'sent' })]
    respond(1, { status: 'acknowledged' })
    respond(1, { status: 'running', progress: 10 })
    respond(1, { status: 'running', progress: 20 })
    respond(2, { status: 'running', progress: 5 })
    respond(2, { status: 'acknowledged' })
    const report = await on.processor.tick()
    expect(report!.changes.commandNews).toHaveLength(2)
    expect(one).toMatchObject({ status: 'running', progress: '20', acknowledgedAt: NOW, endedAt: null })
    expect(two).toMatchObject({ status: 'running', progress: '5' })
    expect(inputs()).toEqual([])
    on.now += 1_000
    respond(1, { status: 'acknowledged' })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'running', progress: '20', acknowledgedAt: NOW })
  })

  test('that is the last word is decided on at once, however often it comes, and ends the sending', async () => {
    const one = command(1, { status: 'sent' })
    for (let n = 0; n < 3; n++) respond(1, { status: 'succeeded', output: HEALTHY, id: n === 0 ? 'a' : 'b' })
    respond(1, { status: 'failed', code: 'late' })
    await on.processor.tick()
    expect(inputs()).toEqual([
      { kind: 'command-answer', at: NOW, id: idOf(1), status: 'succeeded', output: HEALTHY, messageId: 'a' },
      { kind: 'command-answer', at: NOW, id: idOf(1), status: 'failed', code: 'late' },
    ])
    expect(db.inbox.get(device.incarnation)!.sealed).not.toBeNull()
    expect(one).toMatchObject({ status: 'acknowledged', acknowledgedAt: NOW, endedAt: null })
    expect(letters()).toEqual([])
  })

  test('counts once by its id, on each command apart', async () => {
    const [one, two] = [command(1), command(2)]
    for (const n of [1, 2, 1]) respond(n, { id: 'r', status: 'running', progress: n * 10 })
    await on.processor.tick()
    respond(1, { id: 'r', status: 'failed', code: 'x' })
    await on.processor.tick()
    expect([one.progress, two.progress]).toEqual(['10', '20'])
    expect(inputs()).toEqual([])
  })

  test('with an output that the model does not allow ends the command failed, and is a dead letter', async () => {
    command(1)
    respond(1, { status: 'succeeded', output: { ...HEALTHY, uptimeSeconds: 'long' } })
    await on.processor.tick()
    expect(inputs()).toMatchObject([
      {
        kind: 'command-answer',
        status: 'failed',
        code: 'invalid-output',
        message: expect.stringContaining('uptimeSeconds'),
        output: { uptimeSeconds: 'long' },
      },
    ])
    expect(letters()).toEqual([`invalid-output commands/${idOf(1)}/response`])
  })

  test('to a command that nobody or another device was given is a dead letter', async () => {
    const one = command(1, { status: 'sent' })
    respond(1, { status: 'succeeded', output: HEALTHY }, other)
    respond(1, { status: 'running' }, other)
    respond(7, { status: 'succeeded' })
    await on.processor.tick()
    expect(letters().map((letter) => letter.split(' ')[0])).toEqual(['unknown-command', 'unknown-command', 'unknown-command'])
    expect([inputs(), inputs(other)]).toEqual([[], []])
    expect(one).toMatchObject({ status: 'sent', acknowledgedAt: null, late: null })
  })

  test('that comes after the end changes nothing: a last word is kept, and all but a repetition are dead letters', async () => {
    const one = command(1, { status: 'expired', endedAt: NOW - 1 })
    const two = command(2, { status: 'succeeded', endedAt: NOW - 1 })
    const three = command(3, { status: 'failed', code: 'jammed', endedAt: NOW - 1 })
    const four = command(4, { status: 'failed', code: 'unknown', endedAt: NOW - 1 })
    respond(1, { status: 'running', progress: 3 })
    respond(1, { status: 'succeeded', output: { x: 1 }, id: 'l' })
    respond(2, { status: 'succeeded', output: HEALTHY })
    for (const n of [3, 4]) respond(n, { status: 'failed', code: 'jammed' })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'expired', progress: null, acknowledgedAt: null, endedAt: NOW - 1 })
    expect(JSON.parse(one.late!)).toEqual([{ at: NOW, status: 'succeeded', output: { x: 1 } }])
    expect([two.late, three.late]).toEqual([null, null])
    expect(JSON.parse(four.late!)).toEqual([{ at: NOW, status: 'failed', code: 'jammed' }])
    expect(letters()).toEqual([1, 1, 4].map((n) => `command-ended commands/${idOf(n)}/response`))
    expect(inputs()).toEqual([])
  })
})

describe('a report', () => {
  test('goes to the twin with what the model allows, once by its id', async () => {
    const said = { id: 'r-1', version: 2, state: { targetTemperature: 21, mode: 'eco' }, rejected: { '/x': { code: 'busy' } } }
    on.accept(device.incarnation, 'reported', said)
    on.accept(device.incarnation, 'reported', said)
    await on.processor.tick()
    on.accept(device.incarnation, 'reported', said)
    on.accept(device.incarnation, 'reported', { state: { targetTemperature: 99, mode: null } })
    await on.processor.tick()
    const { id: messageId, ...report } = said
    expect(inputs()).toEqual([
      { kind: 'reported', at: NOW, ts: NOW, ...report, messageId },
      { kind: 'reported', at: NOW, ts: NOW, state: { mode: null } },
    ])
    expect(letters()).toEqual(['invalid-value reported'])
  })

  test('that finds no room in the inbox is a dead letter', async () => {
    for (let n = 0; n < 5_000; n++) on.accept(device.incarnation, 'reported', { state: { n } })
    while ((await on.processor.tick())?.more);
    expect(inputs()).toHaveLength(5_000 - letters().length)
    expect(new Set(letters())).toEqual(new Set(['inbox-full reported']))
  })

  test('that finds no room says that first, whatever else is wrong with it: its device has to say it again', async () => {
    for (let n = 0; n < 5_000; n++) on.accept(device.incarnation, 'reported', { state: { n } })
    while ((await on.processor.tick())?.more);
    on.accept(device.incarnation, 'reported', { state: { mode: 'eco', targetTemperature: 99 } })
    await on.processor.tick()
    expect(letters().at(-1)).toBe('inbox-full reported')
    expect(db.deadLetters.at(-1)!.detail).toContain('targetTemperature')
  })
})

test('a last word that finds no room leaves its command as it was: it is sent again', async () => {
  const one = command(1, { status: 'sent' })
  for (let n = 0; n < 5_000; n++) on.accept(device.incarnation, 'reported', { state: { n } })
  while ((await on.processor.tick())?.more);
  respond(1, { status: 'succeeded', output: HEALTHY })
  await on.processor.tick()
  expect(letters().at(-1)).toBe(`inbox-full commands/${idOf(1)}/response`)
  expect(one).toMatchObject({ status: 'sent', acknowledgedAt: null })
})

test('a get is a sign of life and nothing else', async () => {
  on.accept(device.incarnation, 'get', 'whatever')
  await on.processor.tick()
  expect(db.inbox.get(device.incarnation)).toMatchObject({ lastSeen: NOW })
  expect((JSON.parse(db.inbox.get(device.incarnation)!.sealed!) as Batch).inputs.map(({ kind }) => kind)).toEqual(['configured', 'life'])
  expect(letters()).toEqual([])
})

describe('what others ask of a twin', () => {
  const request = (n: number, kind: string, body: object | string = {}) =>
    db.request(idOf(n), 'demo', device.incarnation, kind, typeof body === 'string' ? body : JSON.stringify(body))
  const update = updateRequest(idOf(8), { rollout: 'r-1', fromVersions: ['1'], minBattery: 50, windows: [[NOW, NOW + 1]] })
  const asked = { id: idOf(9), name: 'diagnose', expiresAt: NOW + 1, repeatable: true, concurrency: 1, by: 'admin' }

  test('stands behind the messages of the tick, in the order in which it was asked', async () => {
    request(1, 'wish', { patch: { targetTemperature: 21 }, by: 'admin', kind: 'event' })
    request(2, 'deliver')
    request(3, 'command', asked)
    request(4, 'cancel', { id: idOf(9), by: 'admin' })
    request(5, 'wish', { replace: {}, ifVersion: 1, by: 'admin' })
    on.accept(device.incarnation, 'event', { data: 1 }, { name: 'pressed' })
    request(6, 'update', update)
    request(7, 'cancel-update', { id: idOf(8), by: 'admin' })
    await on.processor.tick()
    expect(inputs()).toEqual([
      { kind: 'event', at: NOW, name: 'pressed', ts: NOW, data: 1 },
      { kind: 'wish', at: NOW, request: idOf(1), patch: { targetTemperature: 21 }, by: 'admin' },
      { kind: 'deliver', at: NOW, request: idOf(2) },
      { kind: 'command', at: NOW, request: idOf(3), command: asked },
      { kind: 'cancel', at: NOW, request: idOf(4), id: idOf(9), by: 'admin' },
      { kind: 'wish', at: NOW, request: idOf(5), replace: {}, ifVersion: 1, by: 'admin' },
      { kind: 'update', at: NOW, request: idOf(6), update },
      { kind: 'cancel-update', at: NOW, request: idOf(7), id: idOf(8), by: 'admin' },
    ])
    expect([...db.requests.values()].map(({ seq }) => seq)).toEqual([1, 1, 1, 1, 1, 1, 1])
  })

  test.each<[string, string, object | string]>([
    ['another kind', 'rollout', {}],
    ['no JSON', 'wish', '{'],
    ['no object', 'wish', '[]'],
    ['a wish for nothing', 'wish', { by: 'admin' }],
    ['a wish of both kinds', 'wish', { patch: {}, replace: {}, by: 'admin' }],
    ['a wish of a list', 'wish', { patch: [], by: 'admin' }],
    ['a wish of nobody', 'wish', { patch: {} }],
    ['a wish with a version in words', 'wish', { patch: {}, by: 'admin', ifVersion: '3' }],
    ['a command without a name', 'command', { ...asked, name: undefined }],
    ['a command without an end', 'command', { ...asked, expiresAt: null }],
    ['a command that may be both', 'command', { ...asked, repeatable: 'perhaps' }],
    ['a cancel of nothing', 'cancel', { by: 'admin' }],
    ['an update of no row', 'update', { ...update, id: 'u-1' }],
    ['an update of nobody', 'update', { ...update, by: undefined }],
    ['an update of another kind', 'update', { ...update, kind: 'repair' }],
    ['an update to nothing', 'update', { ...update, firmware: null }],
    ['an update to no hash', 'update', { ...update, firmware: { version: '2' } }],
    ['an update from a number', 'update', { ...update, fromVersions: [1] }],
    ['an update from more versions than fit', 'update', { ...update, fromVersions: Array(501).fill('1') }],
    ['an update in a window that never is', 'update', { ...update, windows: [[NOW, NOW]] }],
    ['an update in half a window', 'update', { ...update, windows: [[NOW]] }],
    ['an update in all eternity', 'update', { ...update, offerUntil: 1e16 }],
    ['an update that is never over', 'update', { ...update, soakMs: 1e15 }],
    ['an update in no time', 'update', { ...update, installMs: 0 }],
    ['an update tried again at once', 'update', { ...update, retryMs: 0 }],
    ['an update never tried', 'update', { ...update, attempts: 0 }],
    ['an update without an order', 'update', { ...update, precedence: null }],
    ['a cancel of no update', 'cancel-update', { by: 'admin' }],
  ])('and is not understood (%s) is refused, and what is behind it goes on', async (_, kind, body) => {
    request(1, kind, body)
    request(2, 'deliver')
    await on.processor.tick()
    expect(db.requests.get(idOf(1))).toMatchObject({ answer: '{"refused":"unknown-kind"}', answeredAt: NOW, seq: null })
    expect(inputs()).toEqual([{ kind: 'deliver', at: NOW, request: idOf(2) }])
  })

  test('does not wait for a log that is far behind, but for strong consistency', async () => {
    for (let n = 0; n < 250; n++) on.accept(device.incarnation, 'event', { data: n }, { name: 'pressed' })
    request(1, 'deliver')
    request(2, 'command', asked)
    expect((await on.processor.tick())!.more).toBe(true)
    expect([...db.requests.values()].map(({ seq }) => seq !== null)).toEqual([false, true])
    while ((await on.processor.tick())!.more);
    const kinds = inputs().map(({ kind }) => kind)
    expect(kinds.at(-1)).toBe('deliver')
    expect(kinds.filter((kind) => kind === 'event')).toHaveLength(250)
  })

  test('of a device that was removed ends its commands and its wishes', async () => {
    const one = command(1, { status: 'running' })
    on.accept(device.incarnation, 'telemetry', { temperature: 20 })
    await on.processor.tick()
    db.remove(device.incarnation)
    request(1, 'cancel', { id: idOf(1), by: 'admin' })
    await on.processor.tick()
    expect(one).toMatchObject({ status: 'cancelled', code: 'device-removed', endedAt: NOW })
    expect(db.requests.get(idOf(1))!.answer).toBe('{"removed":true}')
  })
})
