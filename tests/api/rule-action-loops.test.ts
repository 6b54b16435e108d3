/** Rules that set off themselves and each other, on real Postgres: what they do makes the devices of these tests do what sets off the next. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ActionKit } from './action-kit.ts'

let kit: ActionKit
beforeAll(async () => {
  kit = await ActionKit.start()
})
afterAll(() => kit?.stop())

const LOCK = { kind: 'command', name: 'lock' }
const register = async (id: string) => (await kit.api.register(id, {}, undefined, 'lock')).incarnation

/** `next`: the alarm that a command sets off at the device that it is for. Ends when nothing is done any more. */
async function goesRound(first: { incarnation: number; rule: string }, next: (incarnation: number) => string, most = 40): Promise<number> {
  const counts = new Map<number, number>()
  let turns = 0
  let alarms = [first]
  const [before] = await kit.sql<[{ number: number }]>`select coalesce(max(number), 0) as number from commands`
  let seen = before.number
  while (alarms.length > 0 && turns < most) {
    turns += alarms.length
    await kit.happens(
      alarms.map(({ incarnation, rule }) => {
        const n = (counts.get(incarnation) ?? 0) + 1
        counts.set(incarnation, n)
        return { incarnation, rule, n }
      }),
    )
    await kit.worksOff()
    const commands = await kit.sql<Array<{ number: number; incarnation: number }>>`
      select number, incarnation from commands where number > ${seen} order by number`
    seen = commands.at(-1)?.number ?? seen
    alarms = commands.map(({ incarnation }) => ({ incarnation, rule: next(incarnation) }))
  }
  return turns
}

async function cutOf(rule: string) {
  const { json } = await kit.api.ask('GET', `/v1/rules/${rule}/actions?state=cut`)
  return json.items.map(({ device, cutBy, reason }: Record<string, string>) => ({ device, cutBy, reason }))
}

test('a rule that sets off itself is cut after ten alarms, said once, and shown at the rule; another device goes on', async () => {
  const [looping, other] = [await register('l-1'), await register('l-2')]
  await kit.rule('itself', [LOCK, { kind: 'event', name: 'seen' }])
  expect(await goesRound({ incarnation: looping, rule: 'itself' }, () => 'itself')).toBe(11)
  expect((await kit.actions(looping)).filter(({ state }) => state === 'cut')).toMatchObject([{ n: 11, kind: 'command', cutBy: 'loop' }])
  const reason = expect.stringMatching(/^The rule has acted on the device for 10 alarms within 10 minutes/)
  expect(await cutOf('itself')).toEqual([{ device: 'l-1', cutBy: 'loop', reason }])
  const said = { at: expect.any(Number), rule: 'itself', version: 1, n: 11, reason: 'loop', detail: reason }
  expect(await kit.told('rule-cut')).toEqual([{ device: 'l-1', event: said, cause: { by: 'rule', who: 'itself' } }])

  await kit.happens([12, 13].map((n) => ({ incarnation: looping, rule: 'itself', n })))
  await kit.happens([{ incarnation: other, rule: 'itself', n: 1 }])
  await kit.worksOff()
  expect(await kit.told('rule-cut')).toHaveLength(1)
  expect((await kit.actions(other)).map(({ state }) => state)).toEqual(['done', 'done'])
  expect((await kit.actions(looping)).filter(({ kind, state }) => kind === 'event' && state === 'done')).toHaveLength(13)
})

test('two rules in turn are cut as well, also when all their alarms come at once', async () => {
  const [slow, quick] = [await register('l-3'), await register('l-4')]
  await kit.rule('ping', [LOCK])
  await kit.rule('pong', [{ kind: 'wish', desired: { autoLockSeconds: 30 } }, LOCK])
  let turn = 0
  expect(await goesRound({ incarnation: slow, rule: 'ping' }, () => (turn++ % 2 === 0 ? 'pong' : 'ping'))).toBe(21)
  expect((await kit.actions(slow)).filter(({ state }) => state === 'cut').map(({ n, cutBy }) => [n, cutBy])).toEqual([[21, 'loop']])

  await kit.happens(Array.from({ length: 30 }, (_, i) => ({ incarnation: quick, rule: i % 2 === 0 ? 'ping' : 'pong', n: i + 1 })))
  await kit.worksOff()
  const done = (await kit.actions(quick)).filter(({ kind, state }) => kind === 'command' && state === 'done')
  expect(done.map(({ n }) => n)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  const cut = (await kit.told('rule-cut')).filter(({ device }) => device === 'l-4')
  expect(cut.map(({ event }) => [event.rule, event.n])).toEqual([
    ['ping', 21],
    ['pong', 22],
  ])
})

test('what was cut when an alarm was raised stays so when it is cleared, and what acted then acts again', async () => {
  const incarnation = await register('l-5')
  await kit.rule('both', [
    { kind: 'command', name: 'unlock' },
    { ...LOCK, on: 'cleared' },
  ])
  const at = Date.now() - 300_000
  await kit.happens(Array.from({ length: 11 }, (_, i) => ({ incarnation, rule: 'both', n: i + 1, at: at + i })))
  await kit.worksOff()
  await kit.happens([10, 11].map((n) => ({ incarnation, rule: 'both', n, turn: 'cleared' as const })))
  await kit.worksOff()
  const cleared = (await kit.actions(incarnation)).filter(({ turn }) => turn === 'cleared')
  expect(cleared.map(({ n, state }) => [n, state])).toEqual([
    [10, 'done'],
    [11, 'cut'],
  ])
})

test('a chain over devices is cut at its fifth, and a ring of two like it', async () => {
  const devices = await Promise.all(Array.from({ length: 8 }, (_, i) => register(`chain-${i}`)))
  for (const [i] of devices.entries()) await kit.rule(`hop-${i}`, [{ ...LOCK, device: `chain-${i + 1}` }])
  const names = new Map(devices.map((incarnation, i) => [incarnation, `hop-${i}`]))
  expect(await goesRound({ incarnation: devices[0]!, rule: 'hop-0' }, (incarnation) => names.get(incarnation)!)).toBe(6)
  const depths = (await Promise.all(devices.map((incarnation) => kit.actions(incarnation))))
    .flat()
    .map(({ depth, state }) => [depth, state])
  expect(depths).toEqual([0, 1, 2, 3, 4, 5].map((depth) => [depth, depth < 5 ? 'done' : 'cut']))
  expect(await cutOf('hop-5')).toEqual([{ device: 'chain-5', cutBy: 'chain', reason: 'Rules have set off each other over 5 devices.' }])

  const [left, right] = [await register('left'), await register('right')]
  await kit.rule('to-right', [{ ...LOCK, device: 'right' }])
  await kit.rule('to-left', [{ ...LOCK, device: 'left' }])
  expect(await goesRound({ incarnation: left, rule: 'to-right' }, (incarnation) => (incarnation === left ? 'to-right' : 'to-left'))).toBe(6)
  expect((await kit.told('rule-cut')).filter(({ device }) => device === 'right').map(({ event }) => event.reason)).toEqual(['chain'])

  // What held before it was set off by something else.
  await kit.happens([{ incarnation: right, rule: 'to-left', n: 9, heldMs: 300_000 }])
  await kit.worksOff()
  expect((await kit.actions(right)).at(-1)).toMatchObject({ depth: 0, state: 'done' })
})

test('who wants it done all the same asks for it', async () => {
  const incarnation = await register('l-6')
  await kit.rule('stubborn', [LOCK])
  await kit.happens(Array.from({ length: 11 }, (_, i) => ({ incarnation, rule: 'stubborn', n: i + 1 })))
  await kit.worksOff()
  const [cut] = (await kit.actions(incarnation)).filter(({ state }) => state === 'cut')
  expect((await kit.api.ask('POST', `/v1/rule-actions/${cut!.id}/retry`)).status).toBe(202)
  await kit.worksOff()
  expect((await kit.actions(incarnation)).at(-1)).toMatchObject({ id: cut!.id, state: 'done', cutBy: null })
})
