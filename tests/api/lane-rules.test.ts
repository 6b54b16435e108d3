/** Rules on their way into twins: with the first batch, after a change, as time passes, and when another processor goes on. */
import { beforeEach, expect, test } from 'vitest'
import type { TickChanges } from '../../api/ingest/lane-store.ts'
import { Processor } from '../../api/ingest/processor.ts'
import { newWork } from '../../api/ingest/work.ts'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { Batch, TwinEvent, TwinInput, TwinRule, TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import { claimLanes } from '../support/memory-leases.ts'
import { MemoryProcessor } from '../support/memory-processor.ts'
import { readyMade } from '../support/ready-made-rules.ts'

const NOW = Date.parse('2026-11-27T12:00:00Z')
let lane: MemoryProcessor
let incarnation: number

beforeEach(async () => {
  lane = await MemoryProcessor.start(NOW)
  incarnation = lane.db.register('demo', 'p-1', 'pump', '1.0.0').incarnation
})

test('the first batch of a twin begins with the rules that are for it', async () => {
  rule(above('hot', 80))
  rule(above('cold', 5), 'thermostat')
  say({ temperature: 90 })
  await lane.processor.tick()
  expect(sealed()?.inputs.map(({ kind }) => kind)).toEqual(['configured', 'rules', 'life', 'reading'])
  expect(sealed()?.inputs[1]).toMatchObject({ set: [{ id: 'hot' }], removed: [] })
  expect(row()).toMatchObject({ rules: 2, features: expect.stringContaining('"hot"') })
  expect(decide()).toContainEqual(expect.objectContaining({ kind: 'alarm-raised', alarm: expect.objectContaining({ rule: 'hot' }) }))
})

test('a change of rules reaches the twins that it is for, and no others', async () => {
  const other = lane.db.register('demo', 't-1', 'thermostat', '1.0.0').incarnation
  say({ temperature: 60 })
  lane.accept(other, 'telemetry', { temperature: 20 })
  await lane.processor.tick()
  decide()
  decide(other)
  rule(above('warm', 50))
  await settle()
  expect(sealed()?.inputs).toEqual([
    expect.objectContaining({ kind: 'rules', set: [expect.objectContaining({ id: 'warm' })], removed: [] }),
  ])
  expect(sealed(other)).toBeUndefined()
  expect(decide().map(({ kind }) => kind)).toEqual(['rules-changed', 'alarm-raised'])
  await settle()
  expect(row().pending).toBeNull()

  lane.db.rule('demo', 'warm', null)
  await settle()
  expect(decide().map(({ kind }) => kind)).toEqual(['alarm-cleared', 'rules-changed'])
  await settle()
  expect(row()).toMatchObject({ features: null, dueAt: null })
})

test('a device whose attributes changed is looked at anew, and told nothing when its rules are the same', async () => {
  rule(above('hot', 80))
  say({ temperature: 20 })
  await lane.processor.tick()
  decide()
  lane.db.ruleDevice(incarnation)
  await settle()
  expect(lane.db.ruleDevices.size).toBe(0)
  expect(sealed()).toBeUndefined()
})

test('a change of a device that comes while it is looked at is not lost, nor its model before its new settings', async () => {
  rule(above('hot', 80))
  rule(above('cold', 5), 'thermostat')
  say({ temperature: 20 })
  await lane.processor.tick()
  decide()
  await settle()
  lane.db.ruleDevice(incarnation)
  const first = lane.db.ruleDevices.get(incarnation)!
  lane.db.ruleDevice(incarnation)
  await memoryLaneStore(lane.db).commit(reruled(incarnation, first))
  expect(lane.db.ruleDevices.has(incarnation)).toBe(true)

  // As if it changed between two reads of one tick.
  Object.assign(lane.db.devices.get(incarnation)!, { model: 'thermostat' })
  await settle()
  expect(lane.db.ruleDevices.has(incarnation)).toBe(true)
  lane.db.request('00000000-0000-4000-8000-000000000001', 'demo', incarnation, 'configured')
  await settle()
  expect(sealed()?.inputs.map(({ kind }) => kind)).toEqual(['tick', 'configured', 'rules'])
  expect(sealed()?.inputs[2]).toMatchObject({ set: [{ id: 'cold' }], removed: ['hot'] })
  expect(lane.db.ruleDevices.size).toBe(0)
})

test('a row does not wait any longer when another processor takes what it waited for', async () => {
  rule({ ...above('hot', 80), forMs: 60_000 })
  say({ temperature: 90 })
  await lane.processor.tick()
  decide()
  await settle()
  expect(row().dueAt).toBe(NOW + 60_000)
  const next = await takenOver()
  lane.now += 1_000
  say({ temperature: 70 })
  await next.tick()
  decide()
  await next.tick()
  expect(row().dueAt).toBeNull()
})

test('what is done with an alarm comes after what time has made of it', async () => {
  rule({ ...above('hot', 80), forMs: 60_000 })
  say({ temperature: 90 })
  await lane.processor.tick()
  decide()
  await settle()
  lane.now = NOW + 60_500
  await beat()
  lane.now = NOW + 62_000
  const ask = { rule: 'hot', action: 'acknowledge', by: 'ann' }
  lane.db.request('00000000-0000-4000-8000-000000000002', 'demo', incarnation, 'alarm', JSON.stringify(ask))
  await beat()
  expect(decide().map(({ kind }) => kind)).toEqual(['alarm-raised', 'alarm-acknowledged'])
})

test('new settings come after what time has made of those before', async () => {
  Object.assign(lane.db.devices.get(incarnation)!, { model: 'thermostat' })
  const when: TwinRule['when'] = { kind: 'compare', path: ['ranges', 'temperature', 'status'], comparison: '=', value: 'high' }
  rule({ ...above('hot', 0), when, forMs: 60_000 }, null)
  say({ temperature: 60 })
  await lane.processor.tick()
  decide()
  await settle()
  lane.accept(incarnation, 'event', {}, { name: 'leak' })
  await settle()
  // While its twin does not answer.
  lane.now = NOW + 62_000
  await beat()
  Object.assign(lane.db.devices.get(incarnation)!, { model: 'pump' })
  lane.db.request('00000000-0000-4000-8000-000000000003', 'demo', incarnation, 'configured')
  await settle()
  decide()
  await settle()
  expect(decide().map(({ kind }) => kind)).toEqual(['alarm-raised', 'configured', 'range-changed', 'alarm-cleared'])
})

test('what has held for long enough is noticed as time passes, in order with messages', async () => {
  rule({ ...above('hot', 80), forMs: 60_000 })
  say({ temperature: 90 })
  await lane.processor.tick()
  expect(decide().some(({ kind }) => kind === 'alarm-raised')).toBe(false)
  await settle()
  expect(row().dueAt).toBe(NOW + 60_000)
  lane.now = NOW + 59_000
  await beat()
  expect(sealed()).toBeUndefined()
  lane.now = NOW + 62_000
  await beat()
  expect(sealed()?.inputs).toEqual([expect.objectContaining({ kind: 'tick' })])
  expect(decide()).toEqual([expect.objectContaining({ kind: 'alarm-raised', at: NOW + 60_000 })])
})

test('a value that is missing is noticed, and that it is back', async () => {
  rule({ ...above('gone', 0), when: missing('temperature', 30_000) })
  say({ temperature: 20 })
  await lane.processor.tick()
  decide()
  await settle()
  // With pauses it would be ours that nothing was received.
  for (; lane.now < NOW + 33_000; lane.now += 3_000) await beat()
  await beat()
  expect(decide()).toEqual([expect.objectContaining({ kind: 'alarm-raised', at: NOW + 30_000 })])
  await settle()
  say({ temperature: 20 })
  await lane.processor.tick()
  expect(decide()).toEqual([expect.objectContaining({ kind: 'alarm-cleared', reason: 'rule' })])
})

test('another processor goes on where one stopped: what waits for its time, and what was counted', async () => {
  rule({
    ...above('often', 0),
    when: { kind: 'compare', path: ['telemetry', 'count(temperature,60000,3)', 'value'], comparison: '>=', value: 3 },
  })
  rule({ ...above('hot', 80), forMs: 60_000 })
  say({ temperature: 90 })
  await lane.processor.tick()
  decide()
  await settle()
  lane.now += 1_000
  say({ temperature: 91 })
  await lane.processor.tick()

  const next = await takenOver()
  lane.now += 1_000
  say({ temperature: 92 })
  await next.tick()
  await next.tick()
  expect(decide()).toEqual([expect.objectContaining({ kind: 'alarm-raised', alarm: expect.objectContaining({ rule: 'often' }) })])
  await next.tick()
  lane.now = NOW + 62_000
  renew()
  lane.accept(other(), 'telemetry', { temperature: 1 })
  for (let i = 0; i < 3; i++) await next.tick()
  expect(decide()).toContainEqual(expect.objectContaining({ kind: 'alarm-raised', at: NOW + 60_000 }))
})

function above(id: string, limit: number): TwinRule {
  const when: TwinRule['when'] = { kind: 'compare', path: ['telemetry', 'temperature', 'value'], comparison: '>', value: limit }
  return { id, version: 1, severity: 'major', text: ['hot'], when, forMs: 0, clearForMs: 0, lateMs: 300_000, onChange: 'keep' }
}

function missing(name: string, ms: number): TwinRule['when'] {
  return { kind: 'compare', path: ['telemetry', `missing(${name},${ms})`, 'value'], comparison: '=', value: true }
}

function rule(rule: TwinRule, model: string | null = 'pump'): void {
  const row = { tenant: 'demo', name: rule.id, version: rule.version, model, filter: null, body: JSON.stringify(rule), createdAt: NOW }
  lane.db.rule('demo', rule.id, row)
}

function say(values: Record<string, number>): void {
  lane.accept(incarnation, 'telemetry', { ts: lane.now, values })
}

function other(): number {
  return lane.db.register('demo', `o-${lane.now}`, 'thermostat', '1.0.0').incarnation
}

/** Another processor goes on. */
async function takenOver(): Promise<Processor> {
  const store = memoryLaneStore(lane.db)
  const signaller = { deliver: async () => true, remove: async () => true }
  const next = new Processor({ makeRules: readyMade, store, signaller, clock: () => lane.now, pause: async () => {} })
  for (const record of lane.db.lanes.values()) record.owner = null
  await next.takeOver(claimLanes(lane.db, 'q', 16))
  return next
}

function reruled(incarnation: number, asked: number): TickChanges {
  return { ...newWork([]).changes, reruled: [{ incarnation, asked }] }
}

/** Somebody else speaks, so that the lane's time moves. */
async function beat(): Promise<void> {
  renew()
  lane.accept(other(), 'telemetry', { temperature: 20 })
  await settle()
}

/** Leases are of the wall's time, too. */
function renew(): void {
  for (const record of lane.db.lanes.values()) record.leaseUntil = lane.now + 60_000
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await lane.processor.tick()
}

function row(of = incarnation) {
  return lane.db.inbox.get(of)!
}

function sealed(of = incarnation): Batch | undefined {
  const { sealed } = row(of)
  return sealed === null ? undefined : (JSON.parse(sealed) as Batch & { inputs: TwinInput[] })
}

/** As the worker does: decides on the seal, and answers. */
function decide(of = incarnation): TwinEvent[] {
  const device = lane.db.devices.get(of)!
  const before: TwinState = device.state === null ? initialState() : upgrade(JSON.parse(device.state))
  const { state, events } = consume(before, { seq: row(of).sealedSeq, batch: sealed(of)! }, lane.now)
  device.state = JSON.stringify(state)
  lane.db.answer(of, row(of).sealedSeq, JSON.stringify(wakeOf(state)))
  return events
}
