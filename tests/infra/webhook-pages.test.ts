/** Large events are read some at a time, for all webhooks and for one: on real Postgres, from page to page. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Settled, Try } from '../../api/webhooks/ports.ts'
import { fanOut } from '../../infra/postgres/webhook-fan-out.ts'
import { outcomeOf } from '../../twin-models/core/delivery.ts'
import { DispatchKit, type Hook } from '../api/dispatch-kit.ts'
import { until } from '../support/wait.ts'

let kit: DispatchKit
let device: number
beforeAll(async () => {
  kit = await DispatchKit.start()
  device = (await kit.api.register('d-1')).incarnation
})
afterEach(() => kit.clear())
afterAll(() => kit?.stop())

/** Events with texts of so many million bytes. */
const emit = (...millions: number[]) => kit.emit(millions.map((size) => ({ incarnation: device, text: 'x'.repeat(size * 1_000_000) })))
const positionsOf = (rows: Array<{ position: number }>) => rows.map(({ position }) => position)

async function sorted(): Promise<{ positions: number[]; more: boolean }> {
  const { events, more } = await fanOut(kit.sql, kit.match)
  return { positions: positionsOf(events.map(({ row }) => row)), more }
}

test('events are sorted until 8 MB are read, and one that is larger alone; more tells that there are others', async () => {
  await kit.settleAll()
  await kit.webhook('https://erp.example.com/')
  const [a, b, c, d, e, f] = await emit(3, 3, 3, 9, 9, 0)
  expect(await sorted()).toEqual({ positions: [a, b, c], more: true })
  expect(await sorted()).toEqual({ positions: [d], more: true })
  expect(await sorted()).toEqual({ positions: [e], more: true })
  expect(await sorted()).toEqual({ positions: [f], more: false })
})

test('of a webhook 4 MB are read at once, and nothing between two pages is passed, not even what is no longer kept', async () => {
  await kit.settleAll()
  const { number } = await kit.webhook('https://erp.example.com/')
  const [a, b, c, d, e] = await emit(3, 3, 0, 0, 5)
  while ((await sorted()).more);
  await kit.sql`delete from outbox where position in ${kit.sql([a!, d!])}`
  const read = async (after: number) => {
    const { wanted, readTo } = await kit.store.events(number, after, e!)
    return { wanted: wanted.map(({ position, row }) => [position, row !== null]), readTo }
  }
  expect(await read(a! - 1)).toEqual({
    wanted: [
      [a, false],
      [b, true],
      [c, true],
      [d, false],
      [e, true],
    ],
    readTo: e,
  })
  const [f, g, h] = await emit(5, 0, 0)
  while ((await sorted()).more);
  await kit.sql`delete from outbox where position = ${h!}`
  const { wanted, readTo } = await kit.store.events(number, e!, h!)
  expect([positionsOf(wanted), readTo]).toEqual([[f], f])
  expect(positionsOf((await kit.store.events(number, f!, h!)).wanted)).toEqual([g, h])
})

test('the first attempts of large events are each made, and all are sorted', async () => {
  const hook = await kit.webhook('https://erp.example.com/', { atOnce: 1, perSecond: 1_000 })
  const positions = await emit(5, 3, 3, 3, 9, 0, 5)
  const sent: number[] = []
  kit.dispatch({ attempt: taking(sent) })
  await until(async () => (await kit.row(hook)).position === positions.at(-1), 'all are settled')
  expect(sent).toEqual(positions)
})

test.each([[false], [true]])('of what failed (ordered: %s) 4 MB are worked on at once, and in the end all of it', async (ordered) => {
  const hook = await kit.webhook('https://erp.example.com/', { ordered, atOnce: 1, perSecond: 1_000 })
  const positions = await emit(3, 3, 0, 5, 0)
  await failed(hook, positions)
  const endpoint = (await kit.work.find('demo', hook.id))!
  const due = await kit.work.due(endpoint, Date.now(), false)
  expect(due.map(({ position, row }) => [position, row?.position])).toEqual(positions.slice(0, 2).map((position) => [position, position]))
  const sent: number[] = []
  const report = await kit.workOff(hook, { attempt: taking(sent) })
  expect([report.done, sent]).toEqual([true, positions])
  expect((await kit.deliveries(hook)).map(({ status }) => status)).toEqual(positions.map(() => 'delivered'))
})

function taking(sent: number[]): Try {
  return async (_endpoint, { position }) => {
    sent.push(position)
    return { startedAt: Date.now(), attempt: { ms: 0, status: 204, answer: '' }, outcome: { kind: 'delivered' } }
  }
}

/** Each was attempted, and all are due again now. */
async function failed({ number }: Hook, positions: number[]): Promise<void> {
  const now = Date.now()
  const attempt = { ms: 0, status: 500, answer: '' }
  const settled = positions.map((position): Settled => {
    const tried = { startedAt: now, attempt, outcome: outcomeOf(attempt, now) }
    return { position, at: now, incarnation: device, device: 'd-1', type: 'device.event', tried }
  })
  await kit.store.settle({ number, settled }, now)
  await kit.work.retryNow(number)
}
