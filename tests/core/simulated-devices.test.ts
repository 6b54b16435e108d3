/** The simulator's pure parts: what devices measure, how they obey, what mischief does, what an outbox keeps. */
import { describe, expect, test } from 'vitest'
import { createBackoff } from '../../infra/simulator/backoff.ts'
import { createMischief } from '../../infra/simulator/chaos.ts'
import { createSimulatedDevice, type DeviceKindName } from '../../infra/simulator/devices/device.ts'
import { createHistogram } from '../../infra/simulator/histogram.ts'
import { type Outgoing, pathOf, payloadOf, telemetry } from '../../infra/simulator/message.ts'
import { createObedience } from '../../infra/simulator/obedience.ts'
import { createOutbox } from '../../infra/simulator/outbox.ts'
import { createRandom } from '../../infra/simulator/random.ts'
import { createFigures } from '../../infra/simulator/report.ts'
import { createSleep } from '../../infra/simulator/sleep.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { fakeClock } from '../support/fake-clock.ts'

const MIDNIGHT = Date.UTC(2026, 0, 15)
const MINUTE = 60_000
const DAY = 86_400_000

/** A day of measurements, one a minute. */
function aDayOf(kind: DeviceKindName, seed: string) {
  const device = createSimulatedDevice(kind, createRandom(seed), MIDNIGHT, DAY)
  return Array.from({ length: 1440 }, (_, i) => device.measure(MIDNIGHT + (i + 1) * MINUTE))
}

const numbers = (day: ReturnType<typeof aDayOf>, name: string) => day.map((m) => m.values[name] as number)
const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length

describe('a simulated thermostat', () => {
  const day = aDayOf('thermostat', 'room')

  test('keeps a room warm by day and lets it cool at night', () => {
    const temperatures = numbers(day, 'temperature')
    const night = mean(temperatures.slice(3 * 60, 5 * 60))
    const afternoon = mean(temperatures.slice(13 * 60, 15 * 60))
    expect(afternoon).toBeGreaterThan(19)
    expect(afternoon).toBeLessThan(24)
    expect(afternoon - night).toBeGreaterThan(1)
  })

  test('changes slowly, as rooms do', () => {
    const temperatures = numbers(day, 'temperature')
    for (let i = 1; i < temperatures.length; i += 1) expect(Math.abs(temperatures[i]! - temperatures[i - 1]!)).toBeLessThan(0.5)
  })

  test('keeps humidity a percentage', () => {
    for (const humidity of numbers(day, 'humidity')) expect(humidity >= 5 && humidity <= 95).toBe(true)
  })

  test('does not run away after a pause of a year', () => {
    const device = createSimulatedDevice('thermostat', createRandom('room'), MIDNIGHT, DAY)
    const { temperature } = device.measure(MIDNIGHT + 365 * DAY).values
    expect(temperature as number).toBeGreaterThan(5)
    expect(temperature as number).toBeLessThan(35)
  })
})

describe('a simulated thermostat that is told a target', () => {
  const hours = (device: ReturnType<typeof deviceOf>, from: number, count: number) =>
    Array.from({ length: count * 60 }, (_, i) => device.measure(from + (i + 1) * MINUTE).values.temperature as number)

  test.each([17, 24])('lets its room drift to %d degrees, also at night, and no further', (target) => {
    const device = deviceOf('thermostat', `a room of few people ${target}`)
    hours(device, MIDNIGHT, 12)
    expect(device.configure({ targetTemperature: target })).toEqual({})
    expect(device.settings()).toEqual({ targetTemperature: target })
    hours(device, MIDNIGHT + DAY / 2, 9)
    const night = hours(device, MIDNIGHT + (DAY / 24) * 21, 6)
    expect(device.settings(), 'nobody turned the knob').toEqual({ targetTemperature: target })
    expect(Math.abs(mean(night) - target)).toBeLessThan(0.7)
  })

  test('says why it cannot, and stays as it was', () => {
    const device = deviceOf('thermostat', 'room')
    const before = device.settings()
    expect(device.configure({ targetTemperature: 90, colour: 'red' })).toEqual({
      '/targetTemperature': { code: 'out-of-range', message: 'I can do 5 to 35' },
      '/colour': { code: 'unknown-setting', message: 'I have no such setting' },
    })
    expect(device.settings()).toEqual(before)
  })

  test('has people in its room who turn the knob now and then', () => {
    const turns = Array.from({ length: 20 }, (_, i) => {
      const device = deviceOf('thermostat', `people ${i}`)
      return Array.from({ length: 1440 }, (_, n) => device.measure(MIDNIGHT + (n + 1) * MINUTE).changed).filter(
        (c) => 'targetTemperature' in c,
      )
    }).flat()
    expect(turns.length).toBeGreaterThan(3)
    expect(turns.length).toBeLessThan(40)
  })
})

describe('a simulated lock', () => {
  test('locks and unlocks when told to, and says so as its model types it', () => {
    const device = deviceOf('lock', 'door')
    const { actions, properties } = modelOf('lock')!
    for (const [action, locked] of [
      ['unlock', false],
      ['lock', true],
    ] as const) {
      expect(device.takes(action)).toBeGreaterThanOrEqual(500)
      const { answer, changed } = device.act(action, MIDNIGHT)
      expect(answer).toEqual({ status: 'succeeded', output: { locked } })
      expect(actions.get(action)!.outputProblem({ locked })).toBeUndefined()
      expect(changed).toEqual({ locked })
      expect(properties.get('locked')!.problemOf(locked)).toBeUndefined()
    }
  })

  test('locks itself after the time that it was told', () => {
    const device = deviceOf('lock', 'door')
    device.configure({ autoLockSeconds: 120 })
    device.measure(MIDNIGHT)
    device.act('unlock', MIDNIGHT)
    expect(device.measure(MIDNIGHT + 180_000).values.locked).toBe(true)
  })

  test('is opened by people too', () => {
    const locked = aDayOf('lock', 'people').map((m) => m.values.locked)
    expect(new Set(locked)).toEqual(new Set([true, false]))
  })
})

test('a simulated meter only counts up, by what flows through it', () => {
  const day = aDayOf('meter', 'house')
  const volumes = numbers(day, 'volume')
  for (let i = 1; i < volumes.length; i += 1) expect(volumes[i]!).toBeGreaterThanOrEqual(volumes[i - 1]!)
  expect(volumes.at(-1)! - volumes[0]!).toBeGreaterThan(0.05)
  expect(volumes.at(-1)! - volumes[0]!).toBeLessThan(3)
})

describe.each(listModels().map((model) => [model.name as DeviceKindName, model] as const))('a simulated %s', (kind, model) => {
  const device = deviceOf(kind, 'model')

  test('measures and reports what its model knows', () => {
    for (const [name, value] of [...Object.entries(device.measure(MIDNIGHT + MINUTE).values), ...Object.entries(device.settings())])
      expect(model.properties.get(name)?.problemOf(value), name).toBeUndefined()
  })

  test('can be wished all that is writable, and told all that its model names', () => {
    const writable = [...model.properties.values()].filter((property) => property.writable)
    for (const { name } of writable) expect(device.settings()).toHaveProperty(name)
    for (const action of model.actions.values()) {
      expect(device.takes(action.name)).toBeGreaterThan(0)
      const { answer } = device.act(action.name, MIDNIGHT + MINUTE)
      expect(answer.status).toBe('succeeded')
      expect(action.outputProblem(answer.output)).toBeUndefined()
    }
    expect(device.takes('constructor')).toBeUndefined()
  })
})

describe('obedience', () => {
  test('takes a wish and answers its version with the settings that were wished', () => {
    const { ask, passes, said, figures } = obedient('thermostat')
    ask({ kind: 'wish', version: 3, state: { targetTemperature: 18.5 } })
    expect(said()).toEqual([])
    passes(1_000)
    expect(said()).toEqual([['reported', { version: 3, state: { targetTemperature: 18.5 } }]])
    ask({ kind: 'wish', version: 3, state: { targetTemperature: 18.5 } })
    passes(1_000)
    expect(said()).toHaveLength(2)
    expect(said()[1]).toEqual(said()[0])
    expect(figures.wishes).toEqual({ obeyed: 1, refused: 0 })
  })

  test('answers only the newest of the wishes that it has not answered', () => {
    const { ask, passes, said } = obedient('thermostat')
    for (const [version, targetTemperature] of [
      [1, 17],
      [3, 19],
      [2, 18],
    ] as const)
      ask({ kind: 'wish', version, state: { targetTemperature } })
    passes(1_000)
    expect(said()).toEqual([['reported', { version: 3, state: { targetTemperature: 19 } }]])
  })

  test('refuses path by path what it cannot do', () => {
    const { ask, passes, said, figures } = obedient('thermostat')
    ask({ kind: 'wish', version: 1, state: { targetTemperature: 17, colour: 'red' } })
    passes(1_000)
    expect(said()).toEqual([
      [
        'reported',
        { version: 1, state: { targetTemperature: 17 }, rejected: { '/colour': expect.objectContaining({ code: 'unknown-setting' }) } },
      ],
    ])
    expect(figures.wishes).toEqual({ obeyed: 0, refused: 1 })
  })

  test('does a command once, however often it comes, and answers again in the same words under the same ids', () => {
    const { ask, passes, said, ids, figures, device } = obedient('lock')
    device.act('unlock', 0)
    const command = { kind: 'command', id: 'c-1', name: 'lock', expiresAt: MIDNIGHT + MINUTE } as const
    ask(command)
    ask(command)
    const acknowledged = ['commands/c-1/response', { status: 'acknowledged' }]
    expect(said()).toEqual([acknowledged, acknowledged])
    passes(3_000)
    const end = ['commands/c-1/response', { status: 'succeeded', output: { locked: true } }]
    expect(said().slice(2)).toEqual([['reported', { state: { locked: true } }], end])
    device.act('unlock', 0)
    ask(command)
    passes(3_000)
    expect(said().slice(4)).toEqual([end])
    expect(device.settings().locked).toBe(false)
    expect(ids().at(-1)).toBe(ids().at(-2))
    expect(figures.commands).toEqual({ obeyed: 1, refused: 0, cancelled: 0 })
  })

  test('does not begin what has expired, and does not know what it does not know', () => {
    const { ask, passes, said, figures } = obedient('pump')
    ask({ kind: 'command', id: 'c-1', name: 'diagnose', expiresAt: MIDNIGHT })
    passes(3_000)
    expect(said()).toEqual([])
    ask({ kind: 'command', id: 'c-2', name: 'fly', expiresAt: MIDNIGHT + MINUTE })
    passes(3_000)
    expect(said().at(-1)).toEqual(['commands/c-2/response', expect.objectContaining({ status: 'failed', code: 'unknown-action' })])
    expect(figures.commands.refused).toBe(1)
  })

  test('stops at a cancel and says nothing more, also when the command comes after its cancel', () => {
    const { ask, passes, said, figures, isBusy } = obedient('lock')
    ask({ kind: 'command', id: 'c-1', name: 'unlock', expiresAt: MIDNIGHT + MINUTE })
    expect(isBusy()).toBe(true)
    ask({ kind: 'cancel', id: 'c-1' })
    ask({ kind: 'cancel', id: 'c-2' })
    ask({ kind: 'command', id: 'c-2', name: 'unlock', expiresAt: MIDNIGHT + MINUTE })
    passes(10_000)
    expect(said()).toEqual([['commands/c-1/response', { status: 'acknowledged' }]])
    expect(figures.commands).toEqual({ obeyed: 0, refused: 0, cancelled: 1 })
    expect(isBusy()).toBe(false)
  })

  test('of a device that refuses is none', () => {
    const { ask, passes, said, device } = obedient('lock', { refuses: true, slow: false })
    const before = device.settings()
    ask({ kind: 'wish', version: 1, state: { autoLockSeconds: 7 } })
    ask({ kind: 'command', id: 'c-1', name: 'unlock', expiresAt: MIDNIGHT + MINUTE })
    passes(3_000)
    expect(device.settings()).toEqual(before)
    expect(said()).toContainEqual([
      'reported',
      {
        version: 1,
        state: { autoLockSeconds: before.autoLockSeconds },
        rejected: { '/autoLockSeconds': expect.objectContaining({ code: 'refused' }) },
      },
    ])
    expect(said()).toContainEqual(['commands/c-1/response', expect.objectContaining({ status: 'failed', code: 'refused' })])
  })

  test('of a slow device takes its time, and tells how far it is', () => {
    const { ask, passes, said } = obedient('lock', { refuses: false, slow: true })
    ask({ kind: 'command', id: 'c-1', name: 'unlock', expiresAt: MIDNIGHT + MINUTE })
    passes(4_900)
    expect(said().some(([, word]) => word.status === 'succeeded')).toBe(false)
    passes(20_000)
    expect(
      said()
        .filter(([path]) => path !== 'reported')
        .map(([, word]) => word.status),
    ).toEqual(['acknowledged', 'running', 'succeeded'])
  })
})

test('a sleeper sleeps when it is idle, stays awake while something comes, and wakes for its check-in', () => {
  const clock = fakeClock(MIDNIGHT)
  const happened: string[] = []
  let idle = false
  const sleep = createSleep({
    checkInMs: 60_000,
    later: clock.later,
    isIdle: () => idle,
    fallAsleep: () => happened.push(`asleep at ${clock.now() - MIDNIGHT}`),
    wake: () => happened.push(`awake at ${clock.now() - MIDNIGHT}`),
  })
  sleep.stir()
  clock.passes(4_000)
  idle = true
  sleep.stir()
  clock.passes(2_000)
  sleep.stir()
  clock.passes(62_500)
  expect(happened).toEqual(['asleep at 8500', 'awake at 68500'])
  sleep.stir()
  clock.passes(10_000)
  sleep.endForGood()
  sleep.stir()
  clock.passes(100_000)
  expect(happened.slice(2)).toEqual(['asleep at 71000', 'awake at 78500'])
})

describe('a simulated pump', () => {
  const day = aDayOf('pump', 'pump')

  test('runs and rests, and moves water only while it runs', () => {
    const running = day.filter((m, i) => m.values.running && day[i - 1]?.values.running)
    const resting = day.filter((m, i) => !m.values.running && day[i - 1] && !day[i - 1]!.values.running)
    expect(running.length).toBeGreaterThan(100)
    expect(resting.length).toBeGreaterThan(100)
    for (const m of running) expect(m.values.flow as number).toBeGreaterThan(20)
    for (const m of resting) expect(m.values.flow as number).toBeLessThan(1)
  })

  test('never measures less than nothing', () => {
    for (const { values } of day) {
      for (const name of ['vibration', 'flow', 'pressure']) expect(values[name] as number).toBeGreaterThanOrEqual(0)
    }
  })

  test('leaks now and then, and says where', () => {
    const leaks = Array.from({ length: 5 }, (_, i) => aDayOf('pump', `pump ${i}`)).flatMap((m) => m.flatMap(({ events }) => events))
    expect(leaks.length).toBeGreaterThan(5)
    expect(leaks.length).toBeLessThan(100)
    expect(leaks[0]).toMatchObject({ name: 'leak', data: { litresPerMinute: expect.any(Number), location: expect.any(String) } })
  })
})

test('the same seed gives the same device, another seed another', () => {
  expect(aDayOf('pump', 'a')).toEqual(aDayOf('pump', 'a'))
  expect(aDayOf('pump', 'a')).not.toEqual(aDayOf('pump', 'b'))
})

describe('mischief', () => {
  const deeds = (() => {
    const mischief = createMischief('sim-1', createRandom('mischief'))
    return Array.from({ length: 5000 }, (_, i) => mischief.mangle(telemetry(MIDNIGHT + i, { temperature: i }, `id-${i}`)))
  })()
  const messages = deeds.flat().map((deed) => deed.message)

  test('never keeps a good message back for ever', () => {
    const ids = new Set(messages.map((m) => m.id))
    for (let i = 0; i < 5000; i += 1) expect(ids.has(`id-${i}`)).toBe(true)
  })

  test('deals out duplicates, late messages, wrong clocks and garbage', () => {
    expect(messages.filter((m) => m.duplicate).length).toBeGreaterThan(100)
    expect(deeds.flat().filter((deed) => deed.afterMs > 0).length).toBeGreaterThan(100)
    const years = new Set(messages.filter((m) => m.claimedTs !== undefined).map((m) => new Date(m.claimedTs!).getUTCFullYear()))
    expect(years).toEqual(new Set([1970, 2026, 2300]))
    expect(messages.filter((m) => m.kind === 'garbage').length).toBeGreaterThan(50)
  })

  test('marks all garbage near its beginning, each differently', () => {
    const garbage = messages.filter((m) => m.kind === 'garbage')
    for (const message of garbage) expect(payloadOf(message).subarray(0, 200).toString('latin1')).toContain(message.mark)
    expect(new Set(garbage.map((m) => m.mark)).size).toBe(garbage.length)
  })

  test('leaves the clock of a message without an id alone: it could not be told from its duplicate', () => {
    const mischief = createMischief('sim-1', createRandom('clock'))
    const without = Array.from({ length: 2000 }, (_, i) => mischief.mangle(telemetry(MIDNIGHT + i, { temperature: i }))).flat()
    expect(without.every(({ message }) => message.claimedTs === undefined)).toBe(true)
  })
})

describe('an outbox', () => {
  const message = (ts: number): Outgoing => telemetry(ts, {})

  test('drops the oldest that waits when it is full, never one that is under way', () => {
    const outbox = createOutbox(3, 1)
    outbox.add(message(1))
    expect(outbox.take()?.ts).toBe(1)
    expect(outbox.add(message(2))).toBeUndefined()
    expect(outbox.add(message(3))).toBeUndefined()
    expect(outbox.add(message(4))?.ts).toBe(2)
    expect(outbox.size).toBe(3)
  })

  test('sends again in the old order what was under way when the connection broke', () => {
    const outbox = createOutbox(10, 2)
    for (const ts of [1, 2, 3]) outbox.add(message(ts))
    const first = outbox.take()!
    outbox.take()
    expect(outbox.take()).toBeUndefined()
    expect(outbox.done(first)).toBe(true)
    outbox.rewind()
    expect(outbox.done(first)).toBe(false)
    expect([outbox.take()?.ts, outbox.take()?.ts]).toEqual([2, 3])
  })
})

test('backoff doubles its ceiling up to the maximum, with full jitter, and starts over after a success', () => {
  const backoff = createBackoff(createRandom('backoff'), { firstMs: 100, maximumMs: 1000 })
  const waits = Array.from({ length: 50 }, () => backoff.next())
  expect(waits[0]).toBeLessThan(100)
  expect(waits[1]).toBeLessThan(200)
  expect(Math.max(...waits)).toBeLessThan(1000)
  expect(Math.max(...waits)).toBeGreaterThan(800)
  expect(Math.min(...waits.slice(5))).toBeLessThan(200)
  backoff.reset()
  expect(backoff.next()).toBeLessThan(100)
})

test('a histogram finds percentiles to five percent', () => {
  const histogram = createHistogram()
  for (let i = 1; i <= 1000; i += 1) histogram.add(i)
  expect(histogram.percentile(50)).toBeGreaterThan(470)
  expect(histogram.percentile(50)).toBeLessThan(530)
  expect(histogram.percentile(99)).toBeGreaterThan(940)
  expect(createHistogram().percentile(99)).toBe(0)
})

function deviceOf(kind: DeviceKindName, seed: string) {
  return createSimulatedDevice(kind, createRandom(seed), MIDNIGHT, DAY)
}

function obedient(kind: DeviceKindName, temper = { refuses: false, slow: false }) {
  const device = deviceOf(kind, `obedient ${kind}`)
  const clock = fakeClock(MIDNIGHT)
  const messages: Outgoing[] = []
  const figures = createFigures()
  let count = 0
  const obedience = createObedience({
    device,
    temper,
    random: createRandom('obedience'),
    figures,
    say: (message) => messages.push(message),
    nextId: () => `m-${++count}`,
    ...clock,
  })
  return {
    device,
    figures,
    ask: obedience.ask,
    passes: clock.passes,
    isBusy: () => obedience.isBusy,
    ids: () => messages.map(({ id }) => id),
    said: () =>
      messages.map((message) => {
        const { id: _, ts: __, ...word } = JSON.parse(payloadOf(message).toString())
        return [pathOf(message), word] as const
      }),
  }
}
