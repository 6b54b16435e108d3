/**
 * Dispatchers and workflows that die at any point, and others that go on, some beside one that believes that it still leads: whatever happens,
 * every event arrives, and of an ordered endpoint none before an earlier one of its device was delivered.
 */
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EventRow, Tried, Try } from '../../api/webhooks/ports.ts'
import { workOff } from '../../api/webhooks/work-off.ts'
import { Life, NEVER } from '../support/life.ts'
import type { Happening } from '../support/outbox.ts'
import { until } from '../support/wait.ts'
import { DispatchKit, type Hook } from './dispatch-kit.ts'

const RUNS = 12
const DEVICES = 4
const DAY = 24 * 3_600_000

let kit: DispatchKit
let devices: number[]
beforeAll(async () => {
  kit = await DispatchKit.start()
  devices = await Promise.all(Array.from({ length: DEVICES }, async (_, n) => (await kit.api.register(`d-${n}`)).incarnation))
  await kit.settleAll()
})
afterAll(() => kit?.stop())

/** The other side: fails as often as planned for each event, and notes what came too early. */
class Receiver {
  readonly delivered = new Set<number>()
  readonly early: string[] = []
  readonly #byDevice = new Map<number, number[]>()
  readonly #failures: Map<number, number>
  readonly #isOrdered: boolean

  constructor(failures: Map<number, number>, isOrdered: boolean) {
    this.#failures = failures
    this.#isOrdered = isOrdered
  }

  expects(incarnation: number, position: number): void {
    this.#byDevice.set(incarnation, [...(this.#byDevice.get(incarnation) ?? []), position])
  }

  readonly attempt: Try = (endpoint, row) => this.attemptOf()(endpoint, row)

  /** Every third takes a while. Of a life that ends meanwhile, some requests never arrive, and of none the answer. */
  readonly attemptOf =
    (life?: Life): Try =>
    async (_endpoint, row) => {
      const startedAt = Date.now()
      if (row.position % 3 === 0) await pause(40)
      else await new Promise((resolve) => setImmediate(resolve))
      if (life?.dead && row.position % 2 === 0) return NEVER
      const tried = this.#take(row, startedAt)
      return life?.dead ? NEVER : tried
    }

  #take(row: EventRow, startedAt: number): Tried {
    if (this.#isOrdered) this.#checkOrder(row)
    const left = this.#failures.get(row.position) ?? 0
    this.#failures.set(row.position, left - 1)
    if (left > 0) return { startedAt, attempt: { ms: 1, status: 500, answer: '' }, outcome: { kind: 'failed', reason: 'It answered 500' } }
    this.delivered.add(row.position)
    return { startedAt, attempt: { ms: 1, status: 204, answer: '' }, outcome: { kind: 'delivered' } }
  }

  #checkOrder({ incarnation, position }: EventRow): void {
    const before = (this.#byDevice.get(incarnation) ?? []).filter((other) => other < position && !this.delivered.has(other))
    if (before.length > 0) this.early.push(`evt_${position} of device ${incarnation} before ${before.map((other) => `evt_${other}`)}`)
  }
}

const life = fc.record({ calls: fc.integer({ min: 1, max: 30 }), isAfter: fc.boolean() })
const plan = fc.record({
  ordered: fc.boolean(),
  atOnce: fc.constantFrom(1, 3, 20),
  /** Device and how often it fails at first. */
  events: fc.array(fc.record({ device: fc.nat(DEVICES - 1), failures: fc.constantFrom(0, 0, 0, 0, 1, 2, 6) }), {
    minLength: 20,
    maxLength: 60,
  }),
  /** How many are written before the next life begins. */
  chunk: fc.integer({ min: 5, max: 30 }),
  lives: fc.array(fc.record({ who: fc.constantFrom('dispatcher', 'stale dispatcher', 'workflow'), life }), { minLength: 3, maxLength: 8 }),
})

test('wherever they die nothing is lost, and what is ordered stays in order', { timeout: 240_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ ordered, atOnce, events, chunk, lives }) => {
      const hook = await kit.webhook('http://127.0.0.1:1/', { ordered, atOnce, perSecond: 1_000 })
      const failures = new Map<number, number>()
      const receiver = new Receiver(failures, ordered)
      const all: number[] = []
      const rest = [...events]
      const emit = async (count: number) => {
        const next = rest.splice(0, count)
        const positions = await kit.emit(next.map(({ device }): Happening => ({ incarnation: devices[device]! })))
        for (const [i, position] of positions.entries()) {
          failures.set(position, next[i]!.failures)
          receiver.expects(devices[next[i]!.device]!, position)
        }
        all.push(...positions)
      }
      await emit(chunk)
      for (const { who, life } of lives) {
        await liveAndDie(hook, receiver, who, new Life(life))
        await emit(chunk)
      }
      await emit(rest.length)
      await live(hook, receiver, () => receiver.delivered.size === all.length)
      expect(receiver.early).toEqual([])
      expect([...receiver.delivered].sort((a, b) => a - b)).toEqual(all)
      await until(async () => (await kit.row(hook)).position === all.at(-1), 'all is settled')
      await kit.clear()
    }),
    { numRuns: RUNS, endOnFailure: true },
  )
})

/** One that is stale has another beside it, that leads and lives. */
async function liveAndDie(hook: Hook, receiver: Receiver, who: string, life: Life): Promise<void> {
  if (who === 'workflow') {
    const work = workOff({ tenant: 'demo', id: hook.id }, { store: life.mortal(kit.work), attempt: receiver.attemptOf(life), now: later() })
    await Promise.race([work, life.died])
    return
  }
  const leader = who === 'stale dispatcher' ? kit.dispatch({ attempt: receiver.attempt }) : undefined
  kit.drop(life.mortal(kit.store), receiver.attemptOf(life))
  await life.died
  await leader?.stop()
}

/** Undisturbed, until all is well. */
async function live(hook: Hook, receiver: Receiver, isDone: () => boolean): Promise<void> {
  const dispatcher = kit.dispatch({ attempt: receiver.attempt })
  await until(async () => {
    await workOff({ tenant: 'demo', id: hook.id }, { store: kit.work, attempt: receiver.attempt, now: later() })
    return isDone()
  }, 'all arrives')
  await dispatcher.stop()
}

let days = 0

/** A clock on which whatever waited for its time until now is due. */
function later(): () => number {
  days += 2
  return () => Date.now() + days * DAY
}
