/** What must be so once nothing is under way any more: everything accepted arrived, was decided on, and agrees with the oracle. */
import { FINISHED } from '../../../api/ingest/lane-store.ts'
import type { Latest, TwinState } from '../../../twin-models/core/types.ts'
import { twinWorkflowId } from '../../../twin-models/ids.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import type { Oracle } from './oracle.ts'
import type { ReferenceTwin } from './reference-twin.ts'
import type { Registry } from './registry.ts'
import type { MiniTemporal } from './temporal/mini-temporal.ts'
import { askedUnderWay, verifyAsked } from './verify-asked.ts'
import { rulesUnderWay, verifyRules } from './verify-rules.ts'
import type { World } from './world.ts'

interface Simulated {
  world: World
  db: MemoryDatabase
  oracle: Oracle
  temporal: MiniTemporal
  registry: Registry
}

/** What is still under way, in words; empty when all is drained. */
export function underWay(simulated: Simulated): string[] {
  const { db, temporal } = simulated
  const found = [...askedUnderWay(simulated), ...rulesUnderWay(simulated)]
  for (const { lane, cursors, owner } of db.lanes.values()) {
    const read = JSON.parse(cursors) as { [stream: string]: number }
    if (owner === null) found.push(`lane ${lane} has no owner`)
    for (const { stream, entries, closedAt } of db.streams.values()) {
      const cursor = read[stream] ?? 0
      if (cursor === FINISHED) continue
      if (closedAt !== null) found.push(`lane ${lane} has not finished stream ${stream}`)
      if (entries.some((entry) => entry.seq > cursor && entry.lane === lane)) found.push(`lane ${lane} has not read stream ${stream}`)
    }
  }
  for (const [incarnation, row] of db.inbox) {
    if (row.sealed !== null) found.push(`seal ${row.sealedSeq} of device ${incarnation} is unanswered`)
    if (row.pending !== null) found.push(`${row.urgent ? 'urgent' : 'routine'} news of device ${incarnation} is pending`)
  }
  for (const { incarnation, seq } of db.answers.values()) found.push(`answer ${seq} of device ${incarnation} is not taken`)
  for (const { id, kind, incarnation, answeredAt, seq } of db.requests.values()) {
    // New settings have no answer; they are done when a seal carries them.
    if (kind === 'configured' ? seq === null && answeredAt === null : answeredAt === null)
      found.push(`request ${id} (${kind}) of device ${incarnation} is open`)
  }
  for (const { incarnation, tenant, device, endedAt } of db.removedDevices.values()) {
    if (endedAt === null) found.push(`the removal of device ${incarnation} is not told`)
    const execution = temporal.executions.get(twinWorkflowId({ tenant, device, incarnation }))
    if (execution && !execution.closed) found.push(`the twin of removed device ${incarnation} runs`)
  }
  for (const { id, busy, waiting, closed } of temporal.executions.values()) {
    if (!closed && (busy || waiting.length > 0)) found.push(`${id} has a task`)
  }
  return found
}

export function verify(simulated: Simulated): void {
  const { world, db, oracle } = simulated
  const [left] = underWay(simulated)
  if (left !== undefined) world.fail('everything drains', underWay(simulated).join('; '))
  for (const incarnation of db.inbox.keys())
    if (!db.devices.has(incarnation)) world.fail('a removed device leaves nothing', `device ${incarnation}`)
  for (const twin of oracle.twins.values()) verifyTwin(simulated, twin)
  verifyAccepted(simulated)
  verifyAsked(simulated)
  verifyRules(simulated)
}

/** Each accepted message was processed, or belonged to a registration that ended. */
function verifyAccepted({ world, db, oracle }: Simulated): void {
  let heads = 0
  for (const { entries } of db.streams.values()) for (const { heads: text } of entries) heads += (JSON.parse(text) as unknown[]).length
  if (heads !== oracle.counts.messages)
    world.fail('each accepted message is processed once', `${heads} accepted, ${oracle.counts.messages} processed`)
}

function verifyTwin({ world, db, oracle }: Simulated, twin: ReferenceTwin): void {
  const { incarnation } = twin
  const name = `device ${incarnation}`
  const device = db.devices.get(incarnation)
  const row = db.inbox.get(incarnation)
  if (device === undefined) return
  if (row === undefined || device.state === null) {
    world.fail('a device that spoke has a twin', name)
    return
  }
  const latest = JSON.parse(row.latest) as Latest
  const expected = [...twin.latest.values()].map(({ name: property, value, ts, receivedAt, messageId }) => [
    property,
    messageId === undefined ? [value, ts, receivedAt] : [value, ts, receivedAt, messageId],
  ])
  expectSame(
    world,
    'latest values are the last written',
    name,
    sorted(Object.entries(latest)),
    sorted(expected as Array<[string, unknown]>),
  )
  verifyTelemetry(world, db, twin)
  const decided = oracle.decisions.decidedOf(incarnation)
  for (const [part, events] of twin.decided) {
    const count = decided.get(part) ?? 0
    if (count !== events.length)
      world.fail('a twin decides all that one fed singly decides', `${name}, ${part}: ${count} of ${JSON.stringify(events)}`)
  }
  const state = JSON.parse(device.state) as TwinState
  expectSame(world, 'a twin ends as one fed singly', name, summary(state, twin), summary(twin.state, twin))
  const { firmware, health } = twin.said
  if (firmware.at > 0 && state.firmware?.version !== firmware.version)
    world.fail('firmware is what was told last', `${name}: ${JSON.stringify(state.firmware)}, expected ${firmware.version}`)
  if (health.at > 0 && state.health?.ok !== health.ok)
    world.fail('health is what was told last', `${name}: ${JSON.stringify(state.health)}, expected ${health.ok}`)
  if (row.lastSeen !== twin.lastSeen) world.fail('the last sign of life is known', `${name}: ${row.lastSeen}, expected ${twin.lastSeen}`)
  verifyPresence(world, db, twin)
}

function verifyTelemetry(world: World, db: MemoryDatabase, twin: ReferenceTwin): void {
  const names = new Map([...db.properties].map(([key, id]) => [id, key.slice(key.indexOf(' ') + 1)]))
  const stored = [...(db.telemetry.get(twin.incarnation)?.values() ?? [])].map(({ property, ts, receivedAt, value, messageId }) => [
    `${names.get(property)} ${ts}`,
    [value, receivedAt, messageId],
  ])
  const expected = [...twin.telemetry].map(([key, { value, receivedAt, messageId }]) => [key, [value, receivedAt, messageId ?? null]])
  expectSame(
    world,
    'each reading is stored once',
    `device ${twin.incarnation}`,
    sorted(stored as Array<[string, unknown]>),
    sorted(expected as Array<[string, unknown]>),
  )
}

/** Who is silent for long is offline by now, and who is connected is not counted silent. */
function verifyPresence(world: World, db: MemoryDatabase, twin: ReferenceTwin): void {
  const { watermark, graceSince } = db.lanes.get(twin.incarnation % 16)!
  const { connection, lastSeen, presenceTimeoutMs, state } = twin
  const isDue = connection === null && Math.max(lastSeen, graceSince) + presenceTimeoutMs + 5_000 < watermark
  if (isDue && state.presence.status === 'online')
    world.fail('silence is found', `device ${twin.incarnation}, last seen ${lastSeen}, watermark ${watermark}`)
  const row = db.inbox.get(twin.incarnation)!
  if ((row.connection === null) !== (connection === null))
    world.fail('connections are known', `device ${twin.incarnation}: ${row.connection}`)
}

function summary({ presence, ranges, firmware, health, settings }: TwinState, { backstopAt }: ReferenceTwin) {
  // Since when and why may differ where its own timer was the first to notice.
  const { status, since, reason } = backstopAt === 0 ? presence : { ...presence, since: 0, reason: '' }
  const statuses = sorted(Object.entries(ranges).map(([name, range]) => [name, range.status]))
  return { status, since, reason, ranges: statuses, firmware, health, model: settings.model }
}

function sorted<T extends readonly unknown[]>(entries: T[]): T[] {
  return entries.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
}

function expectSame(world: World, rule: string, name: string, actual: unknown, expected: unknown): void {
  if (JSON.stringify(actual) === JSON.stringify(expected)) return
  if (!Array.isArray(actual) || !Array.isArray(expected))
    world.fail(rule, `${name}\n  is       ${JSON.stringify(actual)}\n  expected ${JSON.stringify(expected)}`)
  const texts = new Set(expected.map((item) => JSON.stringify(item)))
  const own = new Set(actual.map((item) => JSON.stringify(item)))
  const extra = [...own].filter((item) => !texts.has(item)).slice(0, 5)
  const missing = [...texts].filter((item) => !own.has(item)).slice(0, 5)
  world.fail(rule, `${name}: has ${extra.join(' ')}, misses ${missing.join(' ')}`)
}
