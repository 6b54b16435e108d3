/** The simulator's pure parts: what devices measure, what mischief does, what an outbox keeps. */
import { describe, expect, test } from 'vitest'
import { createBackoff } from '../../infra/simulator/backoff.ts'
import { createMischief } from '../../infra/simulator/chaos.ts'
import { createSimulatedDevice } from '../../infra/simulator/devices/device.ts'
import { createHistogram } from '../../infra/simulator/histogram.ts'
import { type Outgoing, payloadOf, telemetry } from '../../infra/simulator/message.ts'
import { createOutbox } from '../../infra/simulator/outbox.ts'
import { createRandom } from '../../infra/simulator/random.ts'

const MIDNIGHT = Date.UTC(2026, 0, 15)
const MINUTE = 60_000
const DAY = 86_400_000

/** A day of measurements, one a minute. */
function aDayOf(kind: 'thermostat' | 'pump', seed: string) {
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
