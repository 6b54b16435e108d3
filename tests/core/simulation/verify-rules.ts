/** What must be so of rules and alarms once nothing is under way any more. */
import { featuresOf } from '../../../api/ingest/feature-texts.ts'
import { emptyInbox, type Inbox, nextTime } from '../../../twin-models/core/inbox.ts'
import { same } from '../../../twin-models/core/plain.ts'
import type { OpenAlarm, TwinRule, TwinState } from '../../../twin-models/core/types.ts'
import { wakeOf } from '../../../twin-models/core/wake.ts'
import type { DeviceRecord, InboxRecord, MemoryDatabase } from '../../support/memory-database.ts'
import { readyMade } from '../../support/ready-made-rules.ts'
import type { Oracle } from './oracle.ts'
import type { RuleReference } from './rule-reference.ts'
import type { World } from './world.ts'

interface Ruled {
  world: World
  db: MemoryDatabase
  oracle: Oracle
}

/** Deadlines are looked at once a second. */
const NOTICED_MS = 5_000

/** In words. */
export function rulesUnderWay({ db }: Ruled): string[] {
  const found = [...db.ruleDevices.keys()]
    .filter((incarnation) => db.inbox.has(incarnation))
    .map((device) => `rules of device ${device} are looked at`)
  for (const [incarnation, { dueAt, lane }] of db.inbox) {
    const { watermark } = db.lanes.get(lane)!
    if (dueAt !== null && dueAt < watermark && dueAt > watermark - NOTICED_MS) found.push(`device ${incarnation} is due`)
  }
  return found
}

export function verifyRules({ world, db, oracle }: Ruled): void {
  for (const { incarnation, ruled } of oracle.twins.values()) {
    const device = db.devices.get(incarnation)
    const row = db.inbox.get(incarnation)
    if (!device?.state || !row) continue
    const state = JSON.parse(device.state) as TwinState
    const check = (rule: string, is: unknown, expected: unknown): void => {
      if (!same(is, expected))
        world.fail(rule, `device ${incarnation}\n  is       ${JSON.stringify(is)}\n  expected ${JSON.stringify(expected)}`)
    }
    check('a twin has the rules that are for it', Object.values(state.rules).sort(byId), rulesFor(db, device))
    check('alarms are rows', rowsOf(db, incarnation), alarmsOf(state))
    verifyTime(world, db, incarnation, row, state)
    if (oracle.alarms.isCompared(incarnation)) verifyReference(oracle, incarnation, state, ruled, check)
  }
}

function verifyReference(
  oracle: Oracle,
  incarnation: number,
  state: TwinState,
  ruled: RuleReference,
  check: (rule: string, is: unknown, expected: unknown) => void,
): void {
  ruled.settle()
  for (const [of, events] of ruled.decided) {
    const decided = oracle.alarms.decidedOf(incarnation).get(of) ?? 0
    check('no alarm is lost', [of, ...events.slice(0, decided)], [of, ...events])
  }
  check('the same alarms are there', Object.values(state.alarms).map(shown).sort(), Object.values(ruled.state.alarms).map(shown).sort())
  check('the same is remembered of rules', state.memory, ruled.state.memory)
  check('the same repair is going on', state.maintenance, ruled.state.maintenance)
}

/** Its row says what it waits for. An outage may have moved that on since: then it is looked at once in vain. */
function verifyTime(world: World, db: MemoryDatabase, incarnation: number, row: InboxRecord, state: TwinState): void {
  const { watermark, graceSince } = db.lanes.get(row.lane)!
  const inbox: Inbox = { ...emptyInbox(JSON.parse(JSON.stringify(wakeOf(state)))), features: featuresOf(row) }
  const [soonest, latest] = [nextTime(inbox) ?? null, nextTime({ ...inbox, graceSince }) ?? null]
  const { dueAt } = row
  const isSo =
    dueAt === soonest || dueAt === latest || (soonest !== null && dueAt !== null && dueAt >= soonest && dueAt <= (latest ?? Infinity))
  if (!isSo) world.fail('a row says what its rules wait for', `device ${incarnation}: ${dueAt}, expected ${soonest} to ${latest}`)
  if (latest !== null && latest < watermark - NOTICED_MS)
    world.fail('time that means something is noticed', `device ${incarnation}: ${latest}, watermark ${watermark}`)
}

function rulesFor(db: MemoryDatabase, { tenant, device: id, model, modelVersion }: DeviceRecord): TwinRule[] {
  const live = [...db.rules.values()].filter((rule) => rule.tenant === tenant)
  return readyMade(live)({ id, model, modelVersion, attributes: {} }).sort(byId)
}

function byId(a: TwinRule, b: TwinRule): number {
  return a.id < b.id ? -1 : 1
}

/** Those that are there, and how many there were. */
function rowsOf(db: MemoryDatabase, incarnation: number): object {
  const rows = [...(db.alarms.get(incarnation)?.values() ?? [])]
  return {
    count: rows.length,
    open: rows
      .filter(({ clearedAt }) => clearedAt === null)
      .map(({ n, rule }) => [n, rule])
      .sort(),
  }
}

function alarmsOf({ alarms, alarmCount }: TwinState): object {
  return {
    count: alarmCount,
    open: Object.values(alarms)
      .map(({ n, rule }) => [n, rule])
      .sort(),
  }
}

function shown({ n: _n, text: _text, values: _values, ...alarm }: OpenAlarm): string {
  return JSON.stringify(alarm)
}
