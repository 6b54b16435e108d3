/**
 * Runners that die at any call of their store, some beside one that leads, connections that break in the middle of an action, and a storm: whatever
 * happens, each action is done once, in its order, and nobody waits for a neighbour.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { createActionStore } from '../../infra/postgres/rule-action-work.ts'
import { Life, NEVER } from '../support/life.ts'
import { until } from '../support/wait.ts'
import { ActionKit, type Happening } from './action-kit.ts'

const RUNS = 12
const DEVICES = 4
/** Further apart than what would be a loop. */
const APART_MS = 61_000

let kit: ActionKit
let devices: number[]
beforeAll(async () => {
  kit = await ActionKit.start()
  devices = await Promise.all(
    Array.from({ length: DEVICES }, async (_, n) => (await kit.api.register(`d-${n}`, {}, undefined, 'lock')).incarnation),
  )
  await kit.rule('all', [
    { kind: 'event', name: 'raised' },
    { kind: 'command', name: 'unlock' },
    { kind: 'wish', desired: { autoLockSeconds: 30 } },
    { kind: 'command', name: 'lock', on: 'cleared' },
    { kind: 'event', name: 'cleared', on: 'cleared' },
  ])
  await kit.rule('less', [
    { kind: 'command', name: 'fly' },
    { kind: 'event', name: 'raised' },
  ])
})
afterAll(() => kit?.stop())

const life = fc.record({ calls: fc.integer({ min: 1, max: 30 }), isAfter: fc.boolean() })
const plan = fc.record({
  alarms: fc.array(fc.record({ device: fc.nat(DEVICES - 1), rule: fc.constantFrom('all', 'all', 'less'), clears: fc.boolean() }), {
    minLength: 10,
    maxLength: 25,
  }),
  /** How many are written before the next life begins. */
  chunk: fc.integer({ min: 3, max: 20 }),
  lives: fc.array(fc.record({ isStale: fc.boolean(), life }), { minLength: 3, maxLength: 8 }),
})

test('wherever they die every action is done once, and in its order', { timeout: 240_000 }, async () => {
  let n = 0
  await fc.assert(
    fc.asyncProperty(plan, async ({ alarms, chunk, lives }) => {
      await kit.sql`truncate rule_actions, commands, twin_requests, outbox, alarms`
      const begin = Date.now() - 2 * alarms.length * APART_MS
      const all = alarms
        .flatMap(({ device, rule, clears }): Happening[] => {
          const raised = { incarnation: devices[device]!, rule, n: ++n }
          return clears ? [raised, { ...raised, turn: 'cleared' }] : [raised]
        })
        .map((happening, i) => ({ ...happening, at: begin + i * APART_MS }))
      const rest = [...all]
      for (const { isStale, life } of lives) {
        await kit.happens(rest.splice(0, chunk))
        const mortal = new Life(life)
        const stop = isStale ? kit.run() : undefined
        kit.drop(mortal.mortal(kit.store))
        await mortal.died
        await stop?.()
      }
      await kit.happens(rest)
      await kit.worksOff()

      const expected = all.flatMap(({ incarnation, rule, n, turn = 'raised' }) => {
        const places = rule === 'less' ? (turn === 'raised' ? [0, 1] : []) : turn === 'raised' ? [0, 1, 2] : [3, 4]
        return places.map((place) => ({ incarnation, n, turn, place, state: rule === 'less' && place === 0 ? 'failed' : 'done' }))
      })
      const actions = await kit.actions()
      expect(actions.map(({ incarnation, n, turn, place, state }) => ({ incarnation, n, turn, place, state }))).toEqual(expected)
      expect(await written()).toEqual(expectedBy(all))
    }),
    { numRuns: RUNS, endOnFailure: true },
  )
})

/** By device and rule: what was written, in its order. */
async function written(): Promise<object> {
  const events = (await kit.told('rule-event')).map(({ device, event }) => ({
    line: `${device} ${event.rule}`,
    what: `${event.name} ${event.n}`,
  }))
  const asked = await kit.sql<Array<{ line: string; what: string }>>`
    select a.device || ' ' || a.rule as line, coalesce(c.name, r.kind) || ' ' || a.n as what
    from twin_requests r left join commands c on c.id = (r.body::json ->> 'id')::uuid
    join rule_actions a on a.id = coalesce(c.id, r.id) order by r.created_at, a.number`
  const requests = await kit.sql`select count(*)::int as count from twin_requests`
  expect(asked).toHaveLength(requests[0]!.count)
  return { events: lines(events), asked: lines([...asked]) }
}

function expectedBy(all: Happening[]): object {
  const device = ({ incarnation }: Happening) => `d-${devices.indexOf(incarnation)}`
  const events = all.flatMap((one) => {
    const { rule, n, turn = 'raised' } = one
    return rule === 'less' && turn === 'cleared' ? [] : [{ line: `${device(one)} ${rule}`, what: `${turn} ${n}` }]
  })
  const asked = all.flatMap((one) => {
    const { rule, n, turn = 'raised' } = one
    if (rule === 'less') return []
    return (turn === 'raised' ? ['unlock', 'wish'] : ['lock']).map((name) => ({ line: `${device(one)} ${rule}`, what: `${name} ${n}` }))
  })
  return { events: lines(events), asked: lines(asked) }
}

function lines(list: Array<{ line: string; what: string }>): Record<string, string[]> {
  const grouped = Map.groupBy(list, ({ line }) => line)
  return Object.fromEntries(
    [...grouped].toSorted(([a], [b]) => a.localeCompare(b)).map(([line, own]) => [line, own.map(({ what }) => what)]),
  )
}

test('an action whose connection breaks in the middle has written nothing, and is done when it is tried again', async () => {
  await kit.sql`truncate rule_actions, commands, twin_requests, outbox, alarms`
  const pool = connect(kit.api.database.url, { max: 2, name: 'breaking' })
  const breaking = createActionStore(pool, {})
  await kit.happens([{ incarnation: devices[0]!, rule: 'all', n: 100_000 }])
  const stop = kit.run({ ...kit.store, due: async () => [] })
  await until(async () => (await kit.actions()).length === 3, 'they are taken')
  await stop()
  await kit.sql`update rule_actions set state = 'done' where place = 0`
  const [, command, next] = await kit.actions()
  const inTheMiddle = Promise.withResolvers<void>()
  const carried = breaking.carryOut(command!.id, (work, hands) =>
    kit.act(work, {
      ...hands,
      command: async (wanted) => {
        await hands.command(wanted)
        inTheMiddle.resolve()
        return NEVER
      },
    }),
  )
  await inTheMiddle.promise
  // Who believes that he leads as well does neither this one nor the next.
  for (const { id } of [command!, next!]) expect(await kit.store.carryOut(id, kit.act)).toEqual({ outcome: 'passed' })
  await kit.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'castor breaking' and state = 'idle in transaction'`
  expect(await carried).toEqual({ outcome: 'waiting' })
  expect(await kit.sql`select from commands`).toHaveLength(0)
  expect((await kit.actions())[1]).toMatchObject({ state: 'waiting', attempts: 1 })
  await kit.sql`update rule_actions set due = now()`
  await kit.worksOff()
  await until(async () => (await kit.actions()).every(({ state }) => state === 'done'), 'all is done', 10_000)
  expect(await kit.sql`select from commands`).toHaveLength(1)
  await pool.end({ timeout: 1 })
})

test('a storm of 10,000 alarms of one tenant does not hold up another tenant’s', { timeout: 120_000 }, async () => {
  await kit.sql`truncate rule_actions, commands, twin_requests, outbox, alarms`
  const storm = await kit.sql<Array<{ incarnation: number }>>`
    insert into devices (tenant, device, model, model_version, token_hash)
    select 'demo', 'storm-' || i, 'lock', '1.0.0', sha256(('storm' || i)::bytea) from generate_series(1, 10000) i returning incarnation`
  const [other] = await kit.sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash) values ('other', 'quiet', 'lock', '1.0.0', sha256('quiet')) returning incarnation`
  await kit.rule('storm', [{ kind: 'command', name: 'lock' }])
  await kit.rule('quiet', [{ kind: 'command', name: 'lock' }], {}, 'other')
  await kit.happens(storm.map(({ incarnation }) => ({ incarnation, rule: 'storm', n: 1 })))
  await kit.happens([{ incarnation: other.incarnation, rule: 'quiet', n: 1 }])
  const done = async (tenant: string) => {
    const [row] = await kit.sql<
      [{ count: number }]
    >`select count(*)::int as count from rule_actions where tenant = ${tenant} and state = 'done'`
    return row.count
  }
  const stop = kit.run()
  await until(async () => (await done('other')) === 1, 'the other tenant’s is done', 30_000)
  const before = await done('demo')
  await until(async () => (await done('demo')) === 10_000, 'all are done', 90_000, 200)
  await stop()
  expect(before).toBeLessThan(2_000)
  expect(await kit.sql`select from commands`).toHaveLength(10_001)
})
