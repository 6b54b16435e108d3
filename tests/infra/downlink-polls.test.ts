/** Thousands of devices that wait cost few queries, whatever wakes them. */
import { expect, test } from 'vitest'
import type { Ask, DownlinkStore, Pending } from '../../api/downlink.ts'
import { createDevicePolls } from '../../api/http/device-polls.ts'
import { createHandOut, NOTHING } from '../../api/http/hand-out.ts'

/** What each device has, in memory; counts the queries. */
function countingStore() {
  const pending = new Map<number, Pending>()
  const queries = { list: 0, claim: 0, most: 0 }
  const found = (incarnations: number[]) => {
    queries.most = Math.max(queries.most, incarnations.length)
    return new Map([...pending].filter(([incarnation]) => incarnations.includes(incarnation)))
  }
  const store: DownlinkStore = {
    async list(incarnations) {
      queries.list++
      return found(incarnations)
    },
    async claim(asks: Ask[]) {
      queries.claim++
      return found(asks.map(({ incarnation }) => incarnation))
    },
    whenDue: async () => new Map(),
    cancelsTold: async () => {},
  }
  return { pending, queries, store }
}

const DEVICES = 5000
const pollOf = (incarnation: number) => ({
  incarnation,
  tokenHash: Buffer.from(String(incarnation)),
  known: undefined,
  waitMs: 60_000,
  signal: new AbortController().signal,
})

test('5,000 devices wait with some ten queries, one is woken by one, and all by some ten', async () => {
  const { pending, queries, store } = countingStore()
  const polls = createDevicePolls({ store, handOut: createHandOut(store), sweepMs: 3_600_000 })
  const answers = Array.from({ length: DEVICES }, (_, incarnation) => polls.poll(pollOf(incarnation)))
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  await turn()
  expect(polls.waiting).toBe(DEVICES)
  expect(queries).toEqual({ list: 10, claim: 0, most: 500 })
  const desired = { body: '{"version":1,"state":{}}', attempt: 1 }
  pending.set(7, { ...NOTHING, desired })
  polls.wake([7, DEVICES + 1])
  expect((await answers[7])?.pending?.desired).toEqual(desired)
  expect([polls.waiting, queries.list, queries.claim]).toEqual([DEVICES - 1, 11, 1])
  for (let incarnation = 0; incarnation < DEVICES; incarnation++) pending.set(incarnation, { ...NOTHING, desired })
  polls.wakeAll()
  await Promise.all(answers)
  expect([polls.waiting, queries.list, queries.claim]).toEqual([0, 21, 11])
  polls.stop()
})

test('more than may wait are refused, and the fifth of one device ends its first', async () => {
  const { store } = countingStore()
  const polls = createDevicePolls({ store, handOut: createHandOut(store), most: 6, sweepMs: 3_600_000 })
  const ofOne = Array.from({ length: 5 }, () => polls.poll(pollOf(1)))
  expect(await ofOne[0]).toMatchObject({ pending: undefined })
  expect(polls.waiting).toBe(4)
  void polls.poll(pollOf(2))
  void polls.poll(pollOf(3))
  expect(() => polls.poll(pollOf(4))).toThrow(expect.objectContaining({ code: 'unavailable' }))
  polls.stop()
  expect(polls.waiting).toBe(0)
  expect(await Promise.all(ofOne)).toHaveLength(5)
})

test('a store that fails is told to those who wait, with when to ask again', async () => {
  const { store } = countingStore()
  const polls = createDevicePolls({
    store: { ...store, list: () => Promise.reject(new Error('no Postgres')) },
    handOut: createHandOut(store),
  })
  await expect(polls.poll(pollOf(1))).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 5 })
  expect(polls.waiting).toBe(0)
  polls.stop()
})

test('an error that was told wakes nobody again who sends no ETags, and is given at the end of the wait', async () => {
  const { pending, queries, store } = countingStore()
  const polls = createDevicePolls({ store, handOut: createHandOut(store), sweepMs: 3_600_000 })
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const errors = [{ number: 7, body: '{}' }]
  pending.set(1, { ...NOTHING, errors })
  const first = await polls.poll(pollOf(1))
  expect(first).toMatchObject({ pending: { errors }, etag: expect.stringMatching(/^W\/"[\w-]{22}\.7"$/) })
  const second = polls.poll(pollOf(1))
  const known = polls.poll({ ...pollOf(1), known: first.etag })
  await turn()
  expect([polls.waiting, queries]).toEqual([2, { list: 2, claim: 1, most: 1 }])
  polls.stop()
  expect(await second).toEqual(first)
  expect(await known).toEqual({ etag: first.etag, pending: undefined })
})

test('what may be handed out once goes to one of two polls of a device', async () => {
  const { pending, store } = countingStore()
  const once = { id: 'c', number: 1, name: 'unlock', input: null, expiresAt: 0, attempt: 1, repeatable: false }
  const polls = createDevicePolls({ store, handOut: createHandOut(store), sweepMs: 3_600_000 })
  const answers = [polls.poll(pollOf(1)), polls.poll(pollOf(1))]
  await new Promise((resolve) => setImmediate(resolve))
  pending.set(1, { ...NOTHING, commands: [once] })
  const list = store.list
  store.list = async (incarnations) =>
    new Map([...(await list(incarnations))].map(([key, value]) => [key, { ...value, commands: [{ ...once, attempt: 0 }] }]))
  polls.wake([1])
  const first = await Promise.race(answers)
  expect(first.pending?.commands).toEqual([once])
  expect(polls.waiting).toBe(1)
  polls.stop()
  expect((await Promise.all(answers)).filter((answer) => answer.pending)).toHaveLength(1)
})
