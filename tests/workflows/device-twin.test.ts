/** The twin on a real Temporal server with real Postgres, from the cache and, with a cache of nothing, by replay of every task. */
import { randomUUID } from 'node:crypto'
import type { WorkflowHandle } from '@temporalio/client'
import { WorkflowFailedError } from '@temporalio/client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionOutcome } from '../../activities/ports.ts'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type TwinKey, twinWorkflowId } from '../../twin-models/ids.ts'
import { REMOVED_SIGNAL, TWIN_QUERY, type TwinAnswer } from '../../workflows/messages.ts'
import { decisionOf } from '../conformance/decision-store.ts'
import { updateRequest } from '../support/asked-twin.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { testTemporal } from '../support/temporal.ts'
import { firmware, scheduledUpdate } from '../support/updates.ts'
import { until } from '../support/wait.ts'
import { settings, startTwins, type Twins } from './twins.ts'

const hot = (at: number): TwinInput => ({ kind: 'reading', at, name: 'temperature', value: 50, ts: at })
const mild = (at: number): TwinInput => ({ kind: 'reading', at, name: 'temperature', value: 20, ts: at })
const first = (): TwinInput[] => {
  const at = Date.now()
  return [
    { kind: 'configured', at, settings },
    { kind: 'life', at },
  ]
}

describe.each([100, 0])('a twin, with %d twins cached', (maxCachedWorkflows) => {
  let database: TestDatabase
  let twins: Twins

  beforeAll(async () => {
    database = await testDatabase()
    const { address } = await testTemporal()
    twins = await startTwins({ sql: database.sql, address, maxCachedWorkflows })
  })
  afterEach(() => {
    twins.instead.write = undefined as never
    twins.instead.lastSeen = undefined as never
  })
  afterAll(async () => {
    await twins?.stop()
    await database?.drop()
  })

  const decided = (key: TwinKey, seq: number) =>
    // With a cache of nothing the SDK now and then loses a task that follows at once on another, and gets it again after its 10 s.
    until(async () => (await twins.row(key)).seq >= seq, `seal ${seq} of ${key.device} is decided`, 60_000)

  async function eventTypes(handle: WorkflowHandle): Promise<string[]> {
    const { events } = await twins.client.workflow.getHandle(handle.workflowId).fetchHistory()
    return (events ?? []).map((event) => Object.keys(event).find((name) => name.endsWith('EventAttributes') && event[name as never])!)
  }

  test('decides a seal once, answers it, and shows what it decided', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, [...first(), hot(Date.now())])
    await decided(key, 1)
    expect(await twins.row(key)).toMatchObject({
      revision: 1,
      decided: { presence: { status: 'online' }, ranges: { temperature: { status: 'high' } } },
    })
    expect(await twins.answers(key)).toEqual([1])
    const answer = await until(async () => {
      const now = await handle.query<TwinAnswer>(TWIN_QUERY)
      return now.seq === 1 ? now : undefined
    }, 'the query knows it')
    expect(answer).toEqual({ decided: (await twins.row(key)).decided, seq: 1, revision: 1 })
    const details = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')
    expect(details.currentDetails).toContain('thermostat')
  })

  test('costs five events a decision, and none for search attributes that the starter knew', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, first())
    await decided(key, 1)
    for (let seq = 2; seq <= 5; seq++) {
      await twins.signal(key, seq, [seq % 2 ? mild(Date.now()) : hot(Date.now())])
      await decided(key, seq)
    }
    const types = await until(async () => {
      const all = await eventTypes(handle)
      return all.filter((type) => type.startsWith('marker')).length === 5 ? all : undefined
    }, 'five markers')
    expect(types.filter((type) => type.startsWith('upsert'))).toEqual([])
    // Started, and the backstop's timer; then five for each of the five seals.
    expect(types).toHaveLength(2 + 5 * 5)
  })

  test('an update costs at most 24 events, from its request over a goodbye and a reboot to its end', async () => {
    const key = await twins.register()
    const of = await firmware(database.sql)
    const { id } = await scheduledUpdate(database.sql, key, of)
    const hello = (status: 'online' | 'offline', version: string, sha256: string): TwinInput => {
      const health = { ok: true }
      return { kind: 'hello', at: Date.now(), status, firmware: { version, sha256 }, health }
    }
    const handle = await twins.signal(key, 1, [...first(), hello('online', '1', 'one')])
    await decided(key, 1)
    const before = (await eventTypes(handle)).length
    const { version, sha256 } = of
    const update = updateRequest(id, { firmware: { version, sha256 }, offerUntil: Date.now() + 60_000, installMs: 30_000, soakMs: 0 })
    await twins.signal(key, 2, [{ kind: 'update', at: Date.now(), request: randomUUID(), update }])
    await decided(key, 2)
    expect(await twins.row(key)).toMatchObject({ decided: { update: { id, status: 'scheduled', attempt: 1 } } })
    const row = async () => (await database.sql`select status, job is not null as told, from_version from updates where id = ${id}`)[0]
    expect(await row()).toEqual({ status: 'scheduled', told: true, from_version: '1' })
    await twins.signal(key, 3, [hello('offline', '1', 'one')])
    await decided(key, 3)
    await twins.signal(key, 4, [hello('online', version, sha256)])
    await decided(key, 4)
    expect(await row()).toEqual({ status: 'healthy', told: false, from_version: '1' })
    const types = await until(async () => {
      const all = await eventTypes(handle)
      return all.filter((type) => type.startsWith('marker')).length === 4 && all.some((type) => type.startsWith('timerCanceled'))
        ? all
        : undefined
    }, 'its timer is off')
    expect(types.length - before).toBeLessThanOrEqual(24)
    expect(types.filter((type) => type.startsWith('timerFired'))).toEqual([])
  })

  test('an update that is due is ended by what its row says', async () => {
    const key = await twins.register()
    const { id } = await scheduledUpdate(database.sql, key, await firmware(database.sql))
    await database.sql`update updates set sent_at = now() - interval '1 hour', sends = 1, status = 'rebooting' where id = ${id}`
    const at = Date.now()
    const update = updateRequest(id, { offerUntil: at + 60_000, installMs: 1_000 })
    const inputs: TwinInput[] = [...first(), { kind: 'update', at, request: randomUUID(), update }]
    const before = decisionOf(key, initialState(), 1, inputs)
    // As if its bridge had told it since: the write alone would have reset that.
    const { effects: _effects, ...decision } = before
    await twins.store.write(decision)
    const handle = await twins.start({ ...key, carried: before.state }, twinWorkflowId(key))
    await until(async () => (await twins.row(key)).revision === 2, 'the update is due', 60_000)
    const [row] = await database.sql`select status, code, cancel_at is not null as told from updates where id = ${id}`
    expect(row).toEqual({ status: 'timed-out', code: 'too-slow', told: true })
    await handle.terminate()
  })

  test('keeps its search attributes true', async () => {
    const key = await twins.register()
    const hello: TwinInput = { kind: 'hello', at: Date.now() + 1, status: 'offline', firmware: { version: '1.2.0' } }
    const handle = await twins.signal(key, 1, [...first(), hello])
    await decided(key, 1)
    const presence = async () => JSON.stringify((await handle.describe()).searchAttributes)
    await until(async () => (await presence()).includes('offline'), 'its presence is found')
    expect(await presence()).toContain('1.2.0')
    expect((await eventTypes(handle)).filter((type) => type.startsWith('upsert'))).toHaveLength(1)
  })

  test('a seal that comes again changes nothing and is answered again', async () => {
    const key = await twins.register()
    const inputs = first()
    await twins.signal(key, 1, inputs)
    await decided(key, 1)
    await twins.signal(key, 1, inputs)
    await until(async () => (await twins.answers(key)).length === 2, 'the second answer')
    expect(await twins.answers(key)).toEqual([1, 1])
    expect(await twins.row(key)).toMatchObject({ revision: 1, seq: 1 })
  })

  test('seals that wait together are decided each by one write, the repeated ones by none', async () => {
    const key = await twins.register()
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    twins.instead.write = async (decision) => {
      await gate
      return twins.store.write(decision)
    }
    const inputs = first()
    await twins.signal(key, 1, inputs)
    await twins.signal(key, 1, inputs)
    await twins.signal(key, 2, [hot(Date.now())])
    await twins.signal(key, 1, inputs)
    await twins.signal(key, 3, [mild(Date.now())])
    open()
    await decided(key, 3)
    expect(await twins.row(key)).toMatchObject({ revision: 3, seq: 3 })
    const history = await database.sql`select revision, kind from twin_history where incarnation = ${key.incarnation} order by revision, n`
    expect(history.map(({ revision, kind }) => `${revision} ${kind}`)).toEqual([
      '1 configured',
      '1 presence-changed',
      '2 range-changed',
      '3 range-changed',
    ])
  })

  test('finds Postgres ahead, adopts what stands there and decides anew what that has not consumed', async () => {
    const key = await twins.register()
    const before = decisionOf(key, initialState(), 4, [...first(), hot(Date.now() - 5_000)])
    await twins.store.write(before)
    await twins.signal(key, 5, [mild(Date.now())])
    await decided(key, 5)
    expect(await twins.row(key)).toMatchObject({ revision: 2, seq: 5, decided: { ranges: { temperature: { status: 'normal' } } } })
    expect(await twins.answers(key)).toEqual([4, 4, 5])
  })

  test('a run that is reset decides nothing twice and goes on', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, first())
    await decided(key, 1)
    await twins.signal(key, 2, [hot(Date.now())])
    await decided(key, 2)
    const { runId } = await handle.describe()
    await until(async () => (await eventTypes(handle)).filter((type) => type.startsWith('marker')).length === 2, 'two markers')
    await twins.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: handle.workflowId, runId },
      reason: 'test',
      workflowTaskFinishEventId: 5 as never,
      requestId: randomUUID(),
    })
    await twins.signal(key, 3, [mild(Date.now())])
    await decided(key, 3)
    expect(await twins.row(key)).toMatchObject({ revision: 3, seq: 3 })
    const rows = await database.sql`select count(*)::int as n from twin_history where incarnation = ${key.incarnation}`
    expect(rows[0]!.n).toBe(4)
  })

  test('a run that an operator cancels ends, and the next seal starts the twin again from what Postgres has', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, [...first(), hot(Date.now())])
    await decided(key, 1)
    await handle.cancel()
    await until(async () => (await handle.describe()).status.name === 'CANCELLED', 'the run has ended')
    await twins.signal(key, 2, [mild(Date.now())])
    await decided(key, 2)
    expect(await twins.row(key)).toMatchObject({ revision: 2, seq: 2, decided: { ranges: { temperature: { status: 'normal' } } } })
  })

  test('continues as new under load without losing or repeating a seal', { timeout: 180_000 }, async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, first())
    const { runId } = await handle.describe()
    for (let seq = 2; seq <= 60; seq++) {
      // Two at a time, so that some arrive while a task runs.
      await Promise.all([twins.signal(key, seq, [seq % 2 ? mild(Date.now()) : hot(Date.now())]), twins.signal(key, seq - 1, [])])
      if (seq % 3 === 0) await decided(key, seq - 2)
    }
    await decided(key, 60)
    expect(await twins.row(key)).toMatchObject({ revision: 60, seq: 60 })
    const now = await twins.client.workflow.getHandle(handle.workflowId).describe()
    expect(now.runId).not.toBe(runId)
    expect(now.historyLength).toBeLessThan(150)
    expect(JSON.stringify(now.searchAttributes)).toContain(key.device)
    const details = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')
    expect(details.currentDetails).toContain('thermostat')
  })

  test('a write that fails is tried again until it is true', async () => {
    const key = await twins.register()
    let failures = 3
    twins.instead.write = async (decision) => {
      if (failures-- > 0) throw new Error('connection lost')
      return twins.store.write(decision)
    }
    await twins.signal(key, 1, first())
    await decided(key, 1)
    expect(failures).toBe(-1)
    expect(await twins.row(key)).toMatchObject({ revision: 1 })
  })

  test('a write whose answer is lost is found and not repeated', async () => {
    const key = await twins.register()
    let lost = false
    twins.instead.write = async (decision): Promise<DecisionOutcome> => {
      const outcome = await twins.store.write(decision)
      if (lost) return outcome
      lost = true
      throw new Error('connection lost after the commit')
    }
    const handle = await twins.signal(key, 1, first())
    await until(async () => (await handle.query<TwinAnswer>(TWIN_QUERY)).seq === 1, 'the twin knows')
    await twins.signal(key, 2, [hot(Date.now())])
    await decided(key, 2)
    expect(await twins.row(key)).toMatchObject({ revision: 2 })
  })

  test('what no retry mends fails the run in words, and the next signal starts another that goes on from Postgres', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, first())
    await decided(key, 1)
    twins.instead.write = async () => {
      throw new CastorError('invalid', 'Postgres cannot hold this decision')
    }
    await twins.signal(key, 2, [hot(Date.now())])
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError)
    twins.instead.write = undefined as never
    await twins.signal(key, 2, [hot(Date.now())])
    await decided(key, 2)
    expect(await twins.row(key)).toMatchObject({ revision: 2, seq: 2 })
  })

  test('completes when its device is removed, by signal or because there is none', async () => {
    const [told, alone] = [await twins.register(), await twins.register()]
    const handle = await twins.signal(told, 1, first())
    await decided(told, 1)
    await handle.signal(REMOVED_SIGNAL)
    expect(await handle.result()).toMatchObject({ ended: 'removed' })

    await database.sql`delete from devices where incarnation = ${alone.incarnation}`
    const other = await twins.signal(alone, 1, first())
    expect(await other.result()).toMatchObject({ ended: 'gone', detail: expect.stringContaining(alone.device) })
  })

  test('started by hand it validates what it was given', async () => {
    const nobody = { tenant: 'demo', device: `nobody-${randomUUID()}`, incarnation: 999_999 }
    const gone = await twins.start(nobody, twinWorkflowId(nobody))
    expect(await gone.result()).toMatchObject({ ended: 'gone' })
    const key = await twins.register()
    await expect((await twins.start(key, `mine-${randomUUID()}`)).result()).rejects.toMatchObject({
      cause: { message: expect.stringContaining(twinWorkflowId(key)) },
    })
    await expect((await twins.start('nonsense', `mine-${randomUUID()}`)).result()).rejects.toMatchObject({
      cause: { message: expect.stringContaining('deviceTwin takes one object') },
    })
  })

  test('a signal that is no seal is left aside', async () => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, first())
    for (const nonsense of [{}, 'x', { seq: 'one', batch: {} }, { seq: 2, batch: { inputs: 3, merged: null } }])
      await handle.signal('inbox', nonsense)
    await twins.signal(key, 2, [hot(Date.now())])
    await decided(key, 2)
    expect(await twins.row(key)).toMatchObject({ revision: 2, seq: 2 })
  })

  test('the backstop asks Postgres, and finds a silence that nobody noticed', async () => {
    const key = await twins.register()
    const longAgo = Date.now() - 7 * 3_600_000
    const inputs: TwinInput[] = [
      { kind: 'configured', at: longAgo, settings },
      { kind: 'life', at: longAgo },
    ]
    let asked = 0
    twins.instead.lastSeen = async () => {
      asked++
      return { lastSeenAt: longAgo, connected: asked === 1, watermark: Date.now() }
    }
    await twins.store.write(decisionOf(key, initialState(), 1, inputs))
    const carried = consume(initialState(), { seq: 1, batch: { messages: 1, lastSeenAt: longAgo, merged: {}, inputs } }, longAgo).state
    // Connected: nothing is decided, and it will ask again in six hours.
    const handle = await twins.start({ ...key, carried }, twinWorkflowId(key))
    await until(() => asked === 1, 'it asked')
    expect(await handle.query<TwinAnswer>(TWIN_QUERY)).toMatchObject({ revision: 1, decided: { presence: { status: 'online' } } })
    await handle.terminate()
    // Not connected: it is offline.
    const again = await twins.start({ ...key, carried }, twinWorkflowId(key))
    await until(async () => (await twins.row(key)).revision === 2, 'the backstop decided')
    expect(await twins.row(key)).toMatchObject({ seq: 1, decided: { presence: { status: 'offline', reason: 'backstop' } } })
    await again.terminate()
  })
})
