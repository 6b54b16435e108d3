/** What attempts mean for their deliveries and their endpoint, on real Postgres and a clock of its own. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Settled, Try } from '../../api/webhooks/ports.ts'
import { settle } from '../../infra/postgres/webhook-settle.ts'
import { troubledWebhooks, webhookNudged } from '../../infra/postgres/webhook-trouble.ts'
import { type Attempt, type Breaker, outcomeOf, RETRY_WAITS } from '../../twin-models/core/delivery.ts'
import { DispatchKit, type Hook } from '../api/dispatch-kit.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
/** Of random: no jitter. */
const middle = () => 0.5

let kit: DispatchKit
let device: number
let hook: Hook
let positions: number[]
let now: number
beforeAll(async () => {
  kit = await DispatchKit.start()
  device = (await kit.api.register('d-1')).incarnation
})
beforeEach(async () => {
  hook = await kit.webhook('https://erp.example.com/')
  positions = await kit.emit(Array.from({ length: 30 }, () => ({ incarnation: device })))
  now = Date.now()
})
afterEach(() => kit.clear())
afterAll(() => kit?.stop())

const answered = (status: number, retryAfter?: string): Attempt => ({
  ...{ ms: 0, status, answer: '' },
  ...(retryAfter !== undefined && { retryAfter }),
})

/** The n-th event was attempted now, with this end. */
function tried(n: number, attempt: Attempt, isProbe = false): Settled {
  const row = { position: positions[n]!, at: now, incarnation: device, device: 'd-1', type: 'device.event' }
  return { ...row, tried: { startedAt: now, attempt, outcome: outcomeOf(attempt, now), isProbe } }
}
const behind = (n: number): Settled => ({ ...tried(n, answered(204)), tried: undefined as never })
const settled = (...all: Settled[]) => settle(kit.sql, { number: hook.number, settled: all }, now, middle)

interface Row {
  status: string
  attempts: number
  next: number | null
  log: Array<{ at: number; status?: number }>
}

async function row(n: number): Promise<Row> {
  const [found] = await kit.sql`
    select status, attempts, log, round(extract(epoch from next_at) * 1000)::float8 as next from webhook_deliveries
    where webhook = ${hook.number} and position = ${positions[n]!}`
  return { ...found, log: JSON.parse(found!.log) } as unknown as Row
}

async function endpoint(): Promise<{ status: string; reason: string | null; health: Breaker; troubled: boolean; nudged: boolean }> {
  const [found] = await kit.sql`
    select status, reason, health, troubled_at is not null as troubled, nudged_at is not null as nudged from webhooks where number = ${hook.number}`
  return { ...found, health: JSON.parse(found!.health) } as never
}

/** Its workflow was told, and looks next at that time. */
async function told(looksAt: number): Promise<void> {
  await kit.sql`update webhooks set nudged_at = null, looks_at = to_timestamp(${looksAt}::float8 / 1000) where number = ${hook.number}`
}

const answering =
  (status: number): Try =>
  async () => ({ startedAt: now, attempt: answered(status), outcome: outcomeOf(answered(status), now) })

describe('a delivery', () => {
  test('that fails is tried by the schedule, ten times, and then has failed for good', async () => {
    for (const [tries, wait] of RETRY_WAITS.entries()) {
      await settled(tried(0, answered(500)))
      expect(await row(0)).toMatchObject({ status: 'retrying', attempts: tries + 1, next: now + wait })
      now += wait
      // Another one succeeds between: else the breaker would open.
      await settled(tried(tries + 1, answered(204)))
    }
    await settled(tried(0, answered(500)))
    expect(await row(0)).toMatchObject({ status: 'failed', attempts: 10, next: null })
  })

  test('waits for longer where the receiver says so', async () => {
    await settled(tried(0, answered(500, '3600')))
    expect((await row(0)).next).toBe(now + 60 * MINUTE)
  })

  test('remembers its newest twelve attempts', async () => {
    for (let n = 0; n < 15; n++) {
      now += SECOND
      await settled(tried(0, answered(500 + n), n > 8))
    }
    expect((await row(0)).log.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, (_, n) => 503 + n))
  })

  test('that has ended stays as it is, whoever says later that it failed or waits', async () => {
    await settled(tried(0, answered(204)))
    await settled(tried(0, answered(500)), behind(0))
    expect(await row(0)).toMatchObject({ status: 'delivered', next: null })
    expect((await row(0)).log).toHaveLength(2)
    await settled(tried(1, answered(500)))
    await kit.work.skip(hook.number)
    await settled(tried(1, answered(500)))
    expect(await row(1)).toMatchObject({ status: 'skipped', next: null })
    await settled(tried(1, answered(204)))
    expect(await row(1)).toMatchObject({ status: 'delivered' })
  })

  test('waits behind another only while order is asked for', async () => {
    await settled(behind(0))
    expect(await row(0)).toMatchObject({ status: 'retrying', next: now, attempts: 0 })
    await kit.api.ask('PATCH', `/v1/webhooks/${hook.id}`, { body: { ordered: true } })
    await settled(behind(1))
    expect(await row(1)).toMatchObject({ status: 'behind', next: null })
    await kit.api.ask('PATCH', `/v1/webhooks/${hook.id}`, { body: { ordered: false } })
    expect(await row(1)).toMatchObject({ status: 'retrying' })
    expect((await row(1)).next).not.toBeNull()
  })
})

describe('the breaker', () => {
  test('opens with the tenth failure in a row; what was under way then makes no probe later', async () => {
    await settled(...Array.from({ length: 9 }, (_, n) => tried(n, answered(500))))
    expect((await endpoint()).health).toMatchObject({ failures: 9, openedAt: null })
    await settled(...Array.from({ length: 20 }, (_, n) => tried(9 + n, answered(500))))
    expect((await endpoint()).health).toMatchObject({ failures: 29, openedAt: now, probeAt: now + 5 * SECOND, probes: 0 })
  })

  test('opens at once for 429, 502, 503 and 504, until when the receiver said', async () => {
    await settled(tried(0, answered(429, '120')))
    expect((await endpoint()).health).toMatchObject({ openedAt: now, probeAt: now + 2 * MINUTE })
    expect((await row(0)).next).toBe(now + 2 * MINUTE)
  })

  test('is not closed by a probe that fails, which is no try of its delivery', async () => {
    await settled(tried(0, answered(503)))
    now += 5 * SECOND
    await settled(tried(0, answered(503), true))
    expect((await endpoint()).health).toMatchObject({ probes: 1, probeAt: now + 30 * SECOND })
    expect(await row(0)).toMatchObject({ attempts: 1, status: 'retrying' })
  })

  test('is closed by a probe that succeeds, whatever the clocks say, and then all that failed is due', async () => {
    await settled(...Array.from({ length: 12 }, (_, n) => tried(n, answered(500))))
    const before = now
    // The worker's clock is behind.
    now -= MINUTE
    await settled(tried(0, answered(204), true))
    expect((await endpoint()).health).toEqual({ failures: 0, failingSince: null, openedAt: null, probeAt: null, probes: 0 })
    expect((await row(1)).next).toBeLessThanOrEqual(before + MINUTE)
    const due = await kit.work.due((await kit.work.find('demo', hook.id))!, Date.now() + SECOND, false)
    expect(due.map(({ position }) => position)).toEqual(positions.slice(1, 12))
  })

  test('half-opens each second time, so that one that the receiver never takes does not keep all others from it', async () => {
    const failing = () => settled(...Array.from({ length: 10 }, (_, n) => tried(n, answered(500))))
    await failing()
    const attempts: number[] = []
    const attempt: Try = async (target, { position }) => {
      attempts.push(position)
      return answering(500)(target, undefined as never)
    }
    now = (await endpoint()).health.probeAt!
    expect(await kit.workOff(hook, { laterMs: now - Date.now(), attempt })).toMatchObject({ done: false, probeAt: expect.any(Number) })
    expect(attempts).toHaveLength(1)
    now = (await endpoint()).health.probeAt!
    // Nothing is due by its own schedule: the next first attempt is for the dispatcher.
    await kit.sql`update webhook_deliveries set next_at = next_at + interval '1 day' where webhook = ${hook.number}`
    expect(await kit.workOff(hook, { laterMs: now - Date.now(), attempt })).toMatchObject({ done: false, probeAt: null })
    expect(attempts).toHaveLength(1)
    await settled(tried(20, answered(204)))
    expect((await endpoint()).health.failures).toBe(0)
    expect(await endpoint()).toMatchObject({ nudged: true })
    expect((await row(0)).next).toBeLessThan(Date.now() + MINUTE)
  })

  test('probes each time with another delivery', async () => {
    await settled(...Array.from({ length: 10 }, (_, n) => tried(n, answered(500))))
    const target = (await kit.work.find('demo', hook.id))!
    const probed = new Set<number>()
    for (let n = 0; n < 4; n++) {
      now += MINUTE
      const [probe] = await kit.work.due(target, now, true)
      probed.add(probe!.position)
      await settled(tried(positions.indexOf(probe!.position), answered(500), true))
    }
    expect(probed.size).toBe(4)
  })

  test('half-opens when nothing that failed is left: what comes next is tried', async () => {
    await settled(tried(0, answered(503)))
    const report = await kit.workOff(hook, { wanted: 'skip', attempt: answering(500) })
    expect(report).toMatchObject({ done: false, retrying: 0, nextAt: now + 5 * SECOND })
    expect(await kit.workOff(hook, { laterMs: MINUTE, attempt: answering(500) })).toMatchObject({ done: true })
    expect(await endpoint()).toMatchObject({ troubled: false, health: { openedAt: null } })
  })
})

describe('an endpoint is disabled', () => {
  test('after five days of failures only, with an event', async () => {
    const failing = () => settled(...Array.from({ length: 10 }, (_, n) => tried(n, answered(500), true)))
    await failing()
    now += 5 * DAY - 1
    expect(await failing()).toMatchObject({ status: 'active' })
    now += 1
    expect(await failing()).toMatchObject({ status: 'disabled' })
    expect(await endpoint()).toMatchObject({ status: 'disabled', reason: expect.stringContaining('none succeeded for five days') })
    expect(await disabledEvents()).toEqual([expect.objectContaining({ webhook: hook.id, reason: 'failing', host: 'erp.example.com' })])
    await failing()
    expect(await disabledEvents()).toHaveLength(1)
  })

  test('but not for failures with a success between', async () => {
    await settled(...Array.from({ length: 10 }, (_, n) => tried(n, answered(500))))
    now += 4 * DAY
    await settled(tried(0, answered(204), true))
    now += 4 * DAY
    await settled(...Array.from({ length: 10 }, (_, n) => tried(n, answered(500))))
    expect(await endpoint()).toMatchObject({ status: 'active' })
  })

  test('at once when it answers 410, and what failed is tried again when it is resumed', async () => {
    expect(await settled(tried(0, answered(410)))).toMatchObject({ status: 'disabled' })
    expect(await disabledEvents()).toEqual([expect.objectContaining({ webhook: hook.id, reason: 'gone' })])
    expect(await kit.workOff(hook)).toMatchObject({ done: true, status: 'disabled' })
    expect(await endpoint()).toMatchObject({ troubled: false })
    await kit.api.ask('POST', `/v1/webhooks/${hook.id}/resume`)
    expect(await endpoint()).toMatchObject({ status: 'active', troubled: true, nudged: true, reason: null })
    expect(await kit.workOff(hook, { attempt: answering(204) })).toMatchObject({ done: true })
    expect(await row(0)).toMatchObject({ status: 'delivered' })
  })

  async function disabledEvents(): Promise<object[]> {
    const rows = await kit.sql<Array<{ event: string }>>`
      select event from outbox where kind = 'webhook-disabled' and event::json ->> 'webhook' = ${hook.id}`
    return rows.map(({ event }) => JSON.parse(event))
  }
})

describe('its workflow is told', () => {
  const nudge = async () => (await troubledWebhooks(kit.sql)).find(({ number }) => number === hook.number)

  test('of a first failure, and of one that is due before it looks, but not of one that is due later', async () => {
    await settled(tried(0, answered(204)))
    expect(await nudge()).toBeUndefined()
    await settled(tried(1, answered(500)))
    expect(await endpoint()).toMatchObject({ troubled: true, nudged: true })
    await told(now + 5 * SECOND)
    await settled(tried(2, answered(500)))
    expect(await endpoint()).toMatchObject({ nudged: false })
    await told(now + 60 * MINUTE)
    await settled(tried(3, answered(500)))
    expect(await endpoint()).toMatchObject({ nudged: true })
  })

  test('not of what waits behind another of its device, until that has ended', async () => {
    await kit.api.ask('PATCH', `/v1/webhooks/${hook.id}`, { body: { ordered: true } })
    await settled(tried(0, answered(500)))
    await told(now + 60 * MINUTE)
    await settled(behind(1))
    expect(await endpoint()).toMatchObject({ nudged: false })
    await kit.work.skip(hook.number)
    await settled(behind(2))
    expect(await endpoint()).toMatchObject({ nudged: false })
    expect(await kit.workOff(hook, { attempt: answering(204) })).toMatchObject({ done: true })
    await settled(behind(3))
    expect(await endpoint()).toMatchObject({ nudged: true })
  })

  test('once: what is asked meanwhile stays asked', async () => {
    await settled(tried(0, answered(500)))
    const first = (await nudge())!
    await kit.sql`update webhooks set nudged_at = now() where number = ${hook.number}`
    await webhookNudged(kit.sql, first)
    const second = (await nudge())!
    expect(second.nudgedAt).toBeGreaterThan(first.nudgedAt!)
    await webhookNudged(kit.sql, second)
    expect(await nudge()).toBeUndefined()
  })

  test('again when it should have looked for long and did not', async () => {
    await settled(tried(0, answered(500)))
    await told(Date.now() - 2 * MINUTE)
    expect(await nudge()).toMatchObject({ nudgedAt: null })
    await webhookNudged(kit.sql, (await nudge())!)
    expect(await nudge()).toBeUndefined()
  })

  test('of a failure right before it would have said that nothing is left: that keeps it in trouble', async () => {
    await settled(tried(0, answered(500)))
    const target = (await kit.work.find('demo', hook.id))!
    await settled(tried(0, answered(204)))
    await settled(tried(1, answered(500)))
    expect(await kit.work.report(target, now, 0)).toMatchObject({ done: false, retrying: 1, nextAt: now + 5 * SECOND })
    expect(await endpoint()).toMatchObject({ troubled: true })
  })

  test('of a failure right after it said so, also when it is told late of the one before', async () => {
    await settled(tried(0, answered(500)))
    const before = (await nudge())!
    // The workflow was started, has worked off everything and is about to end before that is noted.
    await settled(tried(0, answered(204)))
    expect(await kit.work.report((await kit.work.find('demo', hook.id))!, now, 0)).toMatchObject({ done: true })
    await webhookNudged(kit.sql, before)
    await settled(tried(1, answered(500)))
    expect(await endpoint()).toMatchObject({ troubled: true, nudged: true })
  })

  test('to look at once where what waited behind others is due, whatever else waits for how long', async () => {
    await kit.api.ask('PATCH', `/v1/webhooks/${hook.id}`, { body: { ordered: true } })
    const other = (await kit.api.register('d-2')).incarnation
    await settled(tried(0, answered(500)), behind(1), { ...tried(2, answered(500, '3600')), incarnation: other })
    await kit.sql`update webhook_deliveries set status = 'skipped' where webhook = ${hook.number} and position = ${positions[0]!}`
    const target = (await kit.work.find('demo', hook.id))!
    const { nextAt } = await kit.work.report(target, now, 0)
    expect(nextAt).toBe(now)
    await kit.sql`delete from devices where incarnation = ${other}`
  })
})

test('a result for an endpoint that is gone is no error', async () => {
  await kit.sql`delete from webhooks where number = ${hook.number}`
  expect(await settled(tried(0, answered(500)))).toBeUndefined()
  expect(await kit.workOff(hook)).toEqual({ status: 'removed', done: true })
})

test('of many that wait behind one device some are taken at a time, in order', async () => {
  await kit.api.ask('PATCH', `/v1/webhooks/${hook.id}`, { body: { ordered: true } })
  await kit.sql`
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status)
    select ${hook.number}, -n, now(), ${device}, 'd-1', 'device.event', 'behind' from generate_series(1, 50000) n`
  const target = (await kit.work.find('demo', hook.id))!
  const due = await kit.work.due(target, now, false)
  expect(due.map(({ position }) => position)).toEqual(Array.from({ length: 200 }, (_, n) => -50_000 + n))
})
