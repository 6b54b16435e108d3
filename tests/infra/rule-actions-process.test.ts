/** The actions of rules as the dispatcher runs them: one of two processes carries them out, the other goes on when that one is gone. */
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deleteEndedActions } from '../../infra/postgres/rule-actions.ts'
import { startRuleActions } from '../../infra/processes/rule-actions.ts'
import { ActionKit } from '../api/action-kit.ts'
import { until } from '../support/wait.ts'

let kit: ActionKit
beforeAll(async () => {
  kit = await ActionKit.start()
})
afterAll(() => kit?.stop())

test('one of two carries them out, and the other when that one has gone', async () => {
  const { incarnation } = await kit.api.register('d-1', {}, undefined, 'lock')
  await kit.rule('r', [{ kind: 'command', name: 'lock' }])
  const log = pino({ level: 'silent' })
  const start = () => startRuleActions({ databaseUrl: kit.api.database.url, log })
  const leaders = async () => {
    const [row] = await kit.sql<[{ count: number }]>`
      select count(*)::int as count from pg_locks where locktype = 'advisory' and objid = 7204811011 % 4294967296 and granted
        and database = (select oid from pg_database where datname = current_database())`
    return row.count
  }
  const [one, two] = [start(), start()]
  await until(async () => (await leaders()) === 1, 'one leads')
  await kit.happens([{ incarnation, rule: 'r', n: 1 }])
  await until(async () => (await kit.actions())[0]?.state === 'done', 'it is done')
  await one.stop()
  await kit.happens([{ incarnation, rule: 'r', n: 2 }])
  await until(async () => (await kit.actions())[1]?.state === 'done', 'the other goes on')
  await two.stop()
  expect(await kit.sql`select from commands`).toHaveLength(2)
  expect(await leaders()).toBe(0)
})

test('those that ended a month ago go, and what waits stays', async () => {
  const ages = await kit.sql<Array<{ id: string }>>`
    update rule_actions set ended_at = case when n = 1 then now() - interval '31 days' else now() - interval '29 days' end returning id`
  expect(ages).toHaveLength(2)
  await kit.sql`
    insert into rule_actions (id, tenant, incarnation, device, n, rule, rule_version, turn, place, kind, alarm, at, depth)
    values (gen_random_uuid(), 'demo', 1, 'd-1', 3, 'r', 1, 'raised', 0, 'command', '{}', now() - interval '40 days', 0)`
  expect(await deleteEndedActions(kit.sql)).toBe(1)
  expect((await kit.actions()).map(({ n }) => n)).toEqual([2, 3])
})
