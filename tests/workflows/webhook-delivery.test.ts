/** A webhook in trouble as its workflow works on it, on a real Temporal and a real Postgres: with every task from the cache, and with none. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { testTemporal } from '../support/temporal.ts'
import { until } from '../support/wait.ts'
import { messages } from './told.ts'
import { detailsOf, startWebhookWorker, type WebhookWorker } from './webhook-worker.ts'

const HOUR = 3_600_000

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
}, 180_000)
afterAll(() => database?.drop())

describe.each([
  ['without a cache', 0],
  ['with a cache', 100],
])('%s', (_, maxCachedWorkflows) => {
  let worker: WebhookWorker
  beforeAll(async () => {
    const { address } = await testTemporal()
    worker = await startWebhookWorker({ sql: database.sql, address, maxCachedWorkflows })
  }, 180_000)
  afterAll(() => worker?.stop())
  afterEach(() => {
    worker.answer = () => 204
    worker.attempts.length = 0
  })

  test('it works off what failed, each when it is due, and ends when nothing is left', async () => {
    const { id, positions, number } = await worker.troubled([0, 0, 700])
    const handle = await worker.look(id)
    expect(await handle.result()).toEqual({ status: 'active' })
    expect(worker.attempts).toEqual(positions)
    expect(await statuses(number)).toEqual(['delivered', 'delivered', 'delivered'])
    expect(await endpoint(number)).toEqual({ status: 'active', troubled: false, looks: false })
  })

  test('an operator reads how it stands and why, and that it is well again', async () => {
    worker.answer = () => 500
    const { id } = await worker.troubled([0, HOUR])
    const handle = await worker.look(id)
    const details = await until(async () => {
      const text = await detailsOf(handle)
      return text.includes('status 500') && text
    }, 'it has tried')
    const parts = ['### Webhook retrying', '`https://erp.example.com/`', '- failed, and tried again: 2', '1 × `status 500`']
    for (const part of [...parts, '1 × `It did not answer within 15 s`', 'Next attempt 20', 'Updates: `retryNow`, `skip`, `stop`.'])
      expect(details).toContain(part)
    worker.answer = () => 204
    await handle.executeUpdate('retryNow')
    await handle.result()
    expect(await detailsOf(handle)).toContain('### Webhook well again')
  })

  test('retryNow tries what failed, whatever its schedule, also while the breaker is open', async () => {
    const { id, positions, number } = await worker.troubled([HOUR, HOUR])
    const health = { failures: 12, failingSince: 1, openedAt: 1, probeAt: Date.now() + HOUR, probes: 1 }
    await database.sql`update webhooks set health = ${JSON.stringify(health)} where number = ${number}`
    const handle = await worker.look(id)
    await until(async () => (await detailsOf(handle)).includes('only probes go out'), 'it waits')
    expect(worker.attempts).toEqual([])
    expect(await handle.executeUpdate('retryNow')).toBe('What failed is tried now.')
    await handle.result()
    expect(worker.attempts.sort()).toEqual(positions)
  })

  test('skip leaves what failed, and stop disables the webhook', async () => {
    const skipped = await worker.troubled([HOUR, HOUR])
    const skip = await worker.look(skipped.id)
    await skip.executeUpdate('skip')
    expect(await skip.result()).toEqual({ status: 'active' })
    expect(await statuses(skipped.number)).toEqual(['skipped', 'skipped'])

    const stopped = await worker.troubled([HOUR])
    const stop = await worker.look(stopped.id)
    await stop.executeUpdate('stop')
    expect(await stop.result()).toEqual({ status: 'disabled' })
    expect(await endpoint(stopped.number)).toEqual({ status: 'disabled', troubled: false, looks: false })
    expect(await detailsOf(stop)).toContain('**An operator stopped it.**')
    const events =
      await database.sql`select event from outbox where kind = 'webhook-disabled' and event::json ->> 'webhook' = ${stopped.id}`
    expect(JSON.parse(events[0]!.event)).toMatchObject({ reason: 'stopped' })
    expect(worker.attempts).toEqual([])
  })

  test('a look wakes it for what is due earlier than it knew, and starts another when it has ended', async () => {
    const { id, number, positions } = await worker.troubled([HOUR])
    const handle = await worker.look(id)
    const first = (await handle.describe()).runId
    await until(async () => (await endpoint(number)).looks, 'it waits')
    await database.sql`update webhook_deliveries set next_at = now() where webhook = ${number}`
    await worker.look(id)
    await handle.result()
    expect(worker.attempts).toEqual(positions)
    await database.sql`update webhook_deliveries set status = 'retrying', next_at = now() where webhook = ${number}`
    const another = await worker.look(id)
    await another.result()
    expect((await another.describe()).runId).not.toBe(first)
    expect(worker.attempts).toEqual([...positions, ...positions])
  })

  test('a long life goes on in another run, with its report', async () => {
    const { id, number } = await worker.troubled([HOUR])
    const handle = await worker.look(id)
    const { runId } = await handle.describe()
    await until(
      async () => {
        await worker.look(id)
        return (await handle.describe()).runId !== runId
      },
      'another run',
      40_000,
    )
    await until(async () => (await detailsOf(handle)).includes('- failed, and tried again: 1'), 'it reports')
    await handle.executeUpdate('retryNow')
    await handle.result()
    expect(await statuses(number)).toEqual(['delivered'])
  })

  test('what fails in the middle is done again', async () => {
    let failures = 1
    worker.answer = () => {
      if (failures-- > 0) throw new Error('connection lost')
      return 204
    }
    const { id, number } = await worker.troubled([0])
    await (await worker.look(id)).result()
    expect(await statuses(number)).toEqual(['delivered'])
  })

  test('one for no webhook ends at once, and what is wrong with its input fails it in words', async () => {
    expect(await (await worker.look('no-such-webhook')).result()).toEqual({ status: 'removed' })
    const handle = await worker.look(undefined as never)
    const error = await handle.result().catch((failure: Error) => failure)
    expect(messages(error)).toContain('The input of webhookDelivery is')
  })
})

async function statuses(number: number): Promise<string[]> {
  const rows = await database.sql<
    Array<{ status: string }>
  >`select status from webhook_deliveries where webhook = ${number} order by position`
  return rows.map(({ status }) => status)
}

async function endpoint(number: number): Promise<{ status: string; troubled: boolean; looks: boolean }> {
  const [row] = await database.sql<[{ status: string; troubled: boolean; looks: boolean }]>`
    select status, troubled_at is not null as troubled, looks_at is not null as looks from webhooks where number = ${number}`
  return row
}
