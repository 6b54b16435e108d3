/**
 * What must be so of what was asked, once the trouble is over and devices have kept answering: each request was decided once, each command has
 * ended, devices are as they were wished but for what they refused or was too late, and history makes the twin documents again.
 */
import { decidedPart } from '../../../twin-models/core/decided.ts'
import { isOutstanding } from '../../../twin-models/core/delta.ts'
import { evolve } from '../../../twin-models/core/evolve.ts'
import { initialState } from '../../../twin-models/core/initial.ts'
import { isObject, same } from '../../../twin-models/core/plain.ts'
import { leavesOf, propertyOf, valueAt } from '../../../twin-models/core/pointer.ts'
import type { TwinEvent, TwinState, Value } from '../../../twin-models/core/types.ts'
import { modelOf } from '../../../twin-models/devices/index.ts'
import type { DeviceRecord, MemoryDatabase } from '../../support/memory-database.ts'
import { askedPart } from './asked-oracle.ts'
import type { Oracle } from './oracle.ts'
import type { Registry } from './registry.ts'
import type { SimDevice } from './sim-device.ts'
import type { World } from './world.ts'

interface Asked {
  world: World
  db: MemoryDatabase
  oracle: Oracle
  registry: Registry
}

/** In words. */
export function askedUnderWay({ db, oracle, registry }: Asked): string[] {
  const found: string[] = oracle.asked.updates.underWay()
  for (const { id, incarnation, status, endedAt } of db.commands.values())
    if (endedAt === null) found.push(`command ${id} of device ${incarnation} is ${status}`)
  for (const { record, comesBack } of registry.devices) {
    if (!comesBack || record.state === null) continue
    const { desired } = JSON.parse(record.state) as TwinState
    for (const [path, leaf] of Object.entries(desired.leaves))
      if (isOutstanding(leaf) && isKept(record, path)) found.push(`the wish for ${path} of device ${record.incarnation} is ${leaf.status}`)
    for (const { id, cancelAt, cancelSentAt } of [...db.commandsOf(record.incarnation), ...db.updatesOf(record.incarnation)])
      if (cancelAt !== null && cancelSentAt === null) found.push(`device ${record.incarnation} does not know that ${id} was cancelled`)
  }
  return found
}

export function verifyAsked(asked: Asked): void {
  const { world, db, oracle, registry } = asked
  for (const id of [...oracle.asked.acknowledged, ...oracle.asked.updates.acknowledged]) {
    const { answer, answeredAt, kind } = db.requests.get(id) ?? {}
    if (answeredAt == null || !(oracle.asked.isDecided(id) || answer === '{"removed":true}'))
      world.fail('each acknowledged request is decided once', `${kind} ${id}: ${answer}`)
  }
  for (const incarnation of new Set([...db.commands.values()].map(({ incarnation }) => incarnation)))
    oracle.asked.commands.check(incarnation)
  for (const device of registry.devices) {
    if (device.record.state === null) continue
    const state = JSON.parse(device.record.state) as TwinState
    verifyRest(asked, device.record.incarnation)
    verifyWishes(asked, device, state)
    verifyHistory(asked, device.record, state)
  }
}

function verifyRest({ world, oracle }: Asked, incarnation: number): void {
  const events = oracle.twins.get(incarnation)?.asked.takeRest() ?? []
  if (events.length > 0) world.fail('a report that decides something is not left out', `device ${incarnation}: ${JSON.stringify(events)}`)
}

/** A wish that is not so was refused, or its time was over. */
function verifyWishes({ world }: Asked, { record, comesBack, obedience }: SimDevice, { desired, reported }: TwinState): void {
  const name = `device ${record.incarnation}`
  for (const [path, leaf] of Object.entries(desired.leaves)) {
    const { status, reason, deadlineAt = Infinity } = leaf
    if (isOutstanding(leaf) && deadlineAt < world.now - 60_000) world.fail('a deadline that has come is decided on', `${name}, ${path}`)
    const isExcused = status === 'diverged' || !isKept(record, path) || !comesBack
    if (!isSo(valueAt(desired.state, path), valueAt(reported.state, path)) && !isExcused)
      world.fail('a device that answers comes to be as wished', `${name}, ${path}: ${JSON.stringify([leaf, reported])}`)
    if (status === 'diverged' && reason === 'deadline' && deadlineAt > world.now) world.fail('no deadline is early', `${name}, ${path}`)
  }
  if (!comesBack) return
  for (const [path, value] of leavesOf(obedience.state)) {
    if (!isKept(record, path)) continue
    const known = valueAt(reported.state, path)
    if (!isSo(value, known))
      world.fail('what a device says last is known', `${name}, ${path}: ${JSON.stringify(known)}, says ${JSON.stringify(value)}`)
  }
}

/** All but what is known without an event: values, times of the last sign of life, numbers of its health. */
function verifyHistory({ world, db }: Asked, { incarnation, decided }: DeviceRecord, state: TwinState): void {
  const rebuilt = (db.history.get(incarnation) ?? [])
    .map(({ kind, event, cause }) => ({ kind, cause: JSON.parse(cause), ...JSON.parse(event) }) as TwinEvent)
    .reduce(evolve, initialState())
  const [is, made] = [inHistory(state), inHistory(rebuilt)]
  if (!same(is, made))
    world.fail('history makes the twin again', `device ${incarnation}\n  is   ${JSON.stringify(is)}\n  made ${JSON.stringify(made)}`)
  const { presence, desired, reported, delta, firmware, update } = JSON.parse(decided)
  const document = decidedPart(rebuilt)
  const shown = Object.entries({ presence, desired, reported, delta, firmware, update })
  for (const [part, value] of shown)
    if (!same(value, document[part as keyof typeof document]))
      world.fail('history makes the twin document again', `device ${incarnation}, ${part}: ${JSON.stringify(value)}`)
}

function inHistory(state: TwinState): object {
  const { presence, ranges, firmware, health, settings, recentEvents, update, endedUpdates, alarms, alarmCount, maintenance } = state
  const { lastSeenAt: _, ...status } = presence
  const statuses = Object.fromEntries(Object.entries(ranges).map(([name, { status, since }]) => [name, { status, since }]))
  return {
    ...askedPart(state),
    presence: status,
    ranges: statuses,
    firmware,
    ok: health?.ok,
    settings,
    recentEvents,
    update,
    endedUpdates,
    alarms,
    alarmCount,
    maintenance,
  }
}

/** Its model takes what a device reports of it. */
function isKept({ model }: DeviceRecord, path: string): boolean {
  const { properties, unknownProperties } = modelOf(model)!
  const property = properties.get(propertyOf(path))
  return property ? property.writable : unknownProperties === 'keep'
}

/** A device cannot be told to empty an object, neither can a twin: any will do where the empty one was wished, or is. */
function isSo(wished: Value | undefined, is: Value | undefined): boolean {
  return same(wished, is) || (isObject(wished) && Object.keys(wished).length === 0 && isObject(is))
}
