/** Rollouts that REST has registered, in a namespace of their own: workers start them, tell them what was asked, and start them again when they have ended. */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askRollout, rolloutTold, untoldRollouts } from '../../infra/postgres/rollout-asked.ts'
import { registerRollout } from '../../infra/postgres/rollouts.ts'
import { startOperationsStarter } from '../../infra/temporal/operations-starter.ts'
import { startRolloutStarter } from '../../infra/temporal/rollout-starter.ts'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { until } from '../support/wait.ts'
import { fleet } from './fleet.ts'
import { artifact, startRolloutWorker, stored, twinsOf } from './rollouts.ts'
import { setting } from './setting.ts'

const here = setting((place) => startRolloutWorker({ ...place, taskQueue: OPERATIONS_QUEUE }), { ownNamespace: true })
let starter: { stop(): Promise<void> }
const begin = (log = pino({ level: 'silent' })) => startRolloutStarter({ ...here, log })
beforeAll(() => {
  starter = begin()
})
afterAll(() => starter?.stop())

test('a draft is started, approved, completed, and when it has ended it can still be rolled back, but nothing else', async () => {
  const { sql } = here
  await artifact(sql, 'fw', '1.0.0', 1)
  await artifact(sql, 'fw', '2.0.0', 2, { rollbackTo: ['1.0.0'] })
  const site = await fleet(sql, 3)
  const id = randomUUID()
  const request = { name: site, firmware: { name: 'fw', version: '2.0.0' }, filter: `attributes.site = '${site}'`, soak: '0s', gate: 0 }
  await registerRollout(sql, { id, tenant: 'demo', by: 'ann', spec: rolloutSpecOf(rolloutRequest.parse(request)) })
  const twins = twinsOf(sql, site)
  const ends = (count: number) =>
    until(async () => {
      await twins.end('healthy')
      return (await twins.asked()).length === count
    }, `${count} were asked`)
  const ask = (ask: Parameters<typeof askRollout>[3]['ask']) => askRollout(sql, 'demo', id, { by: 'bob', ask })

  await until(async () => (await stored(sql, site)).workflow === `rollout:demo:${id}`, 'it has a workflow')
  expect(await ask({ action: 'pace', perSecond: 100 })).toBe(true)
  expect(await ask({ action: 'approve', by: 'bob' })).toBe(true)
  await ends(3)
  await until(async () => (await stored(sql, site)).endedAt !== null, 'it has ended')
  expect(await stored(sql, site)).toMatchObject({ status: 'completed', approvedBy: 'bob' })
  expect(await untoldRollouts(sql)).toEqual([])

  expect(await ask({ action: 'pause' })).toBe(false)
  expect(await ask({ action: 'rollback' })).toBe(true)
  await until(async () => (await stored(sql, site)).back, 'it rolls back')
  await ends(6)
  await until(async () => (await stored(sql, site)).endedAt !== null, 'its rollback has ended')
  expect(await stored(sql, site)).toMatchObject({ status: 'completed', back: true })
  expect((await twins.asked()).slice(3).map(({ request }) => request.firmware.version)).toEqual(['1.0.0', '1.0.0', '1.0.0'])
})

test('one that Temporal has forgotten goes on from where it stood', { timeout: 120_000 }, async () => {
  const { sql } = here
  const site = await fleet(sql, 3)
  const id = randomUUID()
  const limits = { approval: 'none', soak: '0s', gate: 1, waves: [{ count: 1 }, { percent: 100 }] }
  const request = { name: site, firmware: { name: 'fw', version: '2.0.0' }, filter: `attributes.site = '${site}'`, ...limits }
  await registerRollout(sql, { id, tenant: 'demo', by: 'ann', spec: rolloutSpecOf(rolloutRequest.parse(request)) })
  const twins = twinsOf(sql, site)
  await until(async () => (await twins.asked()).length === 1, 'its first wave is asked')
  await starter.stop()
  const { client } = here.worker
  const workflowId = `rollout:demo:${id}`
  await client.workflow.getHandle(workflowId).terminate()
  await client.workflowService.deleteWorkflowExecution({ namespace: here.namespace, workflowExecution: { workflowId } })
  const isKnown = () =>
    client.workflow
      .getHandle(workflowId)
      .describe()
      .then(
        () => true,
        () => false,
      )
  await until(async () => !(await isKnown()), 'Temporal has forgotten it', 60_000)
  await twins.end('healthy')
  starter = begin()
  await until(async () => (await twins.asked()).length === 3, 'its second wave is asked')
  await twins.end('healthy')
  await until(async () => (await stored(sql, site)).status === 'completed', 'it is completed')
})

test('one whose workflow was ended from outside is started again at once, halted, or as it stood where it stood still', {
  timeout: 120_000,
}, async () => {
  const { sql } = here
  const { client } = here.worker
  const begun = async () => {
    const site = await fleet(sql, 3)
    const id = randomUUID()
    const limits = { approval: 'none', soak: '0s', gate: 1, waves: [{ count: 1 }, { percent: 100 }] }
    const request = { name: site, firmware: { name: 'fw', version: '2.0.0' }, filter: `attributes.site = '${site}'`, ...limits }
    await registerRollout(sql, { id, tenant: 'demo', by: 'ann', spec: rolloutSpecOf(rolloutRequest.parse(request)) })
    const twins = twinsOf(sql, site)
    await until(async () => (await twins.asked()).length === 1, 'its first wave is asked')
    await twins.tell()
    const stands = async (status: string) => until(async () => (await stored(sql, site)).status === status, `it is ${status}`)
    return { id, site, twins, stands, handle: client.workflow.getHandle(`rollout:demo:${id}`) }
  }
  const [terminated, cancelled, paused] = [await begun(), await begun(), await begun()]
  await askRollout(sql, 'demo', paused.id, { by: 'bob', ask: { action: 'pause' } })
  await paused.stands('paused')
  await starter.stop()
  for (const { handle } of [terminated, paused]) await handle.terminate()
  await cancelled.handle.cancel()
  await cancelled.handle.result().catch(() => {})
  expect((await stored(sql, terminated.site)).status).toBe('running')
  await terminated.twins.end('healthy')
  const warned: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void warned.push(JSON.parse(line).workflow) })
  starter = begin(log)
  for (const { stands } of [terminated, cancelled]) await stands('halted')
  await until(async () => (await paused.handle.describe()).status.name === 'RUNNING', 'it runs')
  expect((await stored(sql, paused.site)).status).toBe('paused')
  expect(warned.sort()).toEqual([terminated, cancelled, paused].map(({ handle }) => handle.workflowId).sort())
  expect((await stored(sql, terminated.site)).reason).toContain('Its workflow was ended from outside')
  expect(await terminated.twins.asked()).toHaveLength(1)

  // Whatever is asked of one that nobody has looked for yet does not let it go on either.
  await askRollout(sql, 'demo', terminated.id, { by: 'bob', ask: { action: 'resume' } })
  await until(async () => (await terminated.twins.asked()).length === 3, 'its second wave is asked')
  await terminated.handle.terminate()
  await askRollout(sql, 'demo', terminated.id, { by: 'bob', ask: { action: 'pace', perSecond: 7 } })
  await terminated.stands('halted')
  for (const { id, stands } of [terminated, cancelled, paused]) {
    await askRollout(sql, 'demo', id, { by: 'bob', ask: { action: 'cancel', running: 'cancel' } })
    await stands('cancelled')
  }
})

test('one that cannot be started or told keeps nobody behind it waiting, and is told of once', async () => {
  const told: string[] = []
  const warned: string[] = []
  const works = ['bad', 'good'].map((id) => ({ id, tenant: 'demo', workflow: id }))
  const other = startOperationsStarter(
    {
      ...here,
      log: pino({ level: 'warn' }, { write: (line: string) => void warned.push(JSON.parse(line).id) }),
    },
    {
      ...{ name: 'Works', workflowType: 'none', workflowIdOf: ({ id }) => id, untold: async () => works, started: async () => {} },
      tell: async (_sql, { id }) => {
        if (id === 'bad') throw new Error('It always fails.')
        told.push(id)
      },
    },
  )
  await until(() => told.length >= 2, 'the one behind it is told, twice')
  await other.stop()
  expect(warned).toEqual(['bad'])
})

test('of what was asked only what was told is forgotten, and no more is kept than a person asks for', async () => {
  const { sql } = here
  await starter.stop()
  const id = randomUUID()
  const [{ firmware }] = (await sql`select firmware from rollouts limit 1`) as unknown as [{ firmware: string }]
  await sql`insert into rollouts (id, tenant, name, firmware, spec, requested_by) values (${id}, 'demo', ${id}, ${firmware}, '{}', 'ann')`
  const taken: boolean[] = []
  const ask = async () => taken.push(await askRollout(sql, 'demo', id, { by: 'ann', ask: { action: 'pause' } }))
  for (let n = 0; n < 2; n++) await ask()
  const [row] = await untoldRollouts(sql)
  expect(row).toMatchObject({ id, tenant: 'demo', workflow: null, asked: [{ by: 'ann', ask: { action: 'pause' } }, {}] })
  for (let n = 2; n < 101; n++) await ask()
  expect(taken.filter((was) => !was)).toHaveLength(1)
  await rolloutTold(sql, id, row!.asked)
  expect((await untoldRollouts(sql))[0]!.asked).toHaveLength(98)
})
