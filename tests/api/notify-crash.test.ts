/**
 * Dispatchers that die at any call to Postgres, before or after it had its effect, and others that go on, some beside one that believes that it
 * still leads: whatever happens, every alarm is told to whom it is to be told, and its end to who was told of it, after that.
 */
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bundle, NoticeTarget, SendNotices } from '../../api/notify/ports.ts'
import { Life, NEVER } from '../support/life.ts'
import type { Happening } from '../support/outbox.ts'
import { until } from '../support/wait.ts'
import { NotifyKit } from './notify-kit.ts'

const RUNS = 12
const DEVICES = 3
const TARGETS = ['a', 'b']

let kit: NotifyKit
let devices: number[]
beforeAll(async () => {
  kit = await NotifyKit.start()
  devices = await Promise.all(
    Array.from({ length: DEVICES }, async (_, n) => (await kit.api.register(`d-${n}`, { site: n === 0 ? 'north' : 'south' })).incarnation),
  )
})
afterAll(() => kit?.stop())

/** The other side: fails as often as planned, and knows messages by their ids. */
class Receiver {
  /** Requests on their way. */
  onTheWay = 0
  /** By target and key: what it was told, in order. */
  readonly told = new Map<string, string[]>()
  readonly wrong: string[] = []
  readonly #known = new Map<string, string[]>()
  #failures: number[]

  constructor(failures: number[]) {
    this.#failures = [...failures]
  }

  /** Every third takes a while. Of a life that ends meanwhile, some requests never arrive, and of none the answer. */
  sendOf =
    (life?: Life): SendNotices =>
    async (target, bundle) => {
      const startedAt = kit.now()
      this.onTheWay++
      try {
        const number = Number.parseInt(bundle.id.slice(0, 4), 16)
        if (number % 3 === 0) await pause(30)
        else await new Promise((resolve) => setImmediate(resolve))
        if (life?.dead && number % 2 === 0) return NEVER
        const isTaken = (this.#failures.shift() ?? 0) === 0
        if (isTaken) this.#take(target, bundle)
        if (life?.dead) return NEVER
        return isTaken
          ? { startedAt, attempt: { ms: 1, status: 204, answer: '' }, outcome: { kind: 'delivered' } }
          : { startedAt, attempt: { ms: 1, status: 500, answer: '' }, outcome: { kind: 'failed', reason: 'It answered 500' } }
      } finally {
        this.onTheWay--
      }
    }

  #take({ name }: NoticeTarget, bundle: Bundle): void {
    const words = bundle.notices.map(({ key, status }) => `${key} ${status}`)
    const before = this.#known.get(bundle.id)
    if (before) {
      const others = words.filter((word) => !before.includes(word))
      if (others.length > 0) this.wrong.push(`${bundle.id} came again, and says ${others} too`)
      return
    }
    this.#known.set(bundle.id, words)
    for (const { key, status } of bundle.notices) {
      const of = `${name} ${key}`
      this.told.set(of, [...(this.told.get(of) ?? []), status])
    }
  }
}

/** What happens to an alarm after it was raised, each with the next life. */
const story = fc.array(fc.constantFrom('worse', 'acknowledged', 'shelved', 'unshelved', 'cleared'), { maxLength: 3 })
const plan = fc.record({
  alarms: fc.array(fc.record({ device: fc.nat(DEVICES - 1), story }), { minLength: 3, maxLength: 12 }),
  failures: fc.array(fc.constantFrom(0, 0, 0, 1), { maxLength: 20 }),
  groupIntervalMs: fc.constantFrom(0, 30_000),
  lives: fc.array(
    fc.record({ isStale: fc.boolean(), life: fc.record({ calls: fc.integer({ min: 1, max: 25 }), isAfter: fc.boolean() }) }),
    { minLength: 3, maxLength: 7 },
  ),
})

test('wherever they die nothing is lost, and what is over is told so last', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ alarms, failures, groupIntervalMs, lives }) => {
      for (const name of TARGETS) await kit.webhook(name, 'http://127.0.0.1:1/', { groupInterval: `${groupIntervalMs / 1_000}s` })
      await kit.rule('hot', [['a'], ['b', '1m']])
      const receiver = new Receiver(failures)
      const all = alarms.map(({ device, story }, n) => ({ incarnation: devices[device]!, n: n + 1, story: ['raised', ...story] }))
      const rest = all.map((alarm) => ({ ...alarm, story: [...alarm.story] }))
      for (const { isStale, life } of lives) {
        await kit.happen(...rest.flatMap(({ incarnation, n, story }) => happening(incarnation, n, story.shift())))
        await liveAndDie(receiver, isStale, new Life(life))
      }
      for (let left = 5; left > 0; left--)
        await kit.happen(...rest.flatMap(({ incarnation, n, story }) => happening(incarnation, n, story.shift())))
      await live(receiver)
      expect(receiver.wrong).toEqual([])
      for (const alarm of all)
        for (const target of TARGETS) check(alarm, receiver.told.get(`${target} alarm:${alarm.incarnation}-${alarm.n}`) ?? [])
      expect(kit.troubles).toEqual([])
      await kit.clear()
    }),
    { numRuns: RUNS, endOnFailure: true },
  )
})

/** In the end: whom it was told, and what last. */
function check({ story }: { story: string[] }, told: string[]): void {
  const isOver = story.includes('cleared')
  if (told.includes('resolved')) expect(told.filter((status) => status === 'resolved')).toHaveLength(1)
  if (isOver) expect(told.at(-1)).not.toBe('firing')
  else {
    expect(told).not.toContain('resolved')
    // Nobody took it, and it is not kept back.
    const isShelved = story.lastIndexOf('shelved') > story.lastIndexOf('unshelved')
    if (!story.includes('acknowledged') && !isShelved) expect(told.length).toBeGreaterThan(0)
  }
}

function happening(incarnation: number, n: number, what: string | undefined): Happening[] {
  const of = { incarnation, n, rule: 'hot' }
  switch (what) {
    case 'raised':
      return [kit.raised(incarnation, n)]
    case 'worse':
      return [{ ...of, kind: 'alarm-updated', severity: 'critical' }]
    case 'acknowledged':
      return [{ ...of, kind: 'alarm-acknowledged', by: 'ann' }]
    case 'shelved':
      return [{ ...of, kind: 'alarm-shelved', until: kit.now() + 3_600_000, by: 'ann' }]
    case 'unshelved':
      return [{ ...of, kind: 'alarm-shelved', until: null }]
    case 'cleared':
      return [kit.cleared(incarnation, n)]
  }
  return []
}

/** One that is stale has another beside it, that leads and lives. Who comes next comes when no request can be under way any more. */
async function liveAndDie(receiver: Receiver, isStale: boolean, life: Life): Promise<void> {
  const leader = isStale ? kit.dispatch({ send: receiver.sendOf() }) : undefined
  kit.drop(life.mortal(kit.store), receiver.sendOf(life))
  await life.died
  await leader?.stop()
  await until(() => receiver.onTheWay === 0, 'what was under way has ended')
  kit.laterMs += 45_000
}

/** Undisturbed, until all is told. */
async function live(receiver: Receiver): Promise<void> {
  const dispatcher = kit.dispatch({ send: receiver.sendOf() })
  await until(async () => {
    kit.laterMs += 120_000
    await kit.looked()
    const open = await kit.sql`select from notices where ended_at is null and state <> 'held'`
    const [{ read }] = await kit.sql<[{ read: boolean }]>`select c.position = e.position as read from notice_cursor c, outbox_end e`
    return read && open.length === 0
  }, 'all is told')
  await dispatcher.stop()
}
