/** Bearings that wear, and the simulated pump around them: how it gets worse, trips, is repaired, and whether that holds. */
import { describe, expect, test } from 'vitest'
import { createSimulatedDevice, type WearOptions } from '../../infra/simulator/devices/device.ts'
import { hasFailed, heatOf, repaired, someBearing, VIBRATION, vibrationOf, worn } from '../../infra/simulator/devices/wear.ts'
import { parseArguments } from '../../infra/simulator/options.ts'
import { createRandom } from '../../infra/simulator/random.ts'
import { modelOf } from '../../twin-models/devices/index.ts'

const START = Date.UTC(2026, 0, 15)
const MINUTE = 60_000
const DAY = 86_400_000
const WEAR = { lifeSeconds: 600, relapse: 0.3 }

describe('a bearing', () => {
  const fresh = { wear: 0, lifeSeconds: 600, repairs: 0 }

  test('gets worse with every turn, slowly at first, and fails at the end of its life', () => {
    const life = Array.from({ length: 7 }, (_, i) => worn(fresh, i * 100, 1))
    const vibrations = life.map(vibrationOf)
    for (let i = 1; i < life.length; i++) {
      expect(vibrations[i]!).toBeGreaterThan(vibrations[i - 1]!)
      expect(heatOf(life[i]!)).toBeGreaterThan(heatOf(life[i - 1]!))
    }
    expect(vibrations[0]).toBe(VIBRATION.fresh)
    expect(vibrations[3]).toBeLessThan(2.9)
    expect(vibrations[6]).toBe(VIBRATION.limit)
    expect(life.map(hasFailed)).toEqual([false, false, false, false, false, false, true])
    expect(worn(fresh, 1e9, 1).wear).toBe(1)
  })

  test('does not get worse while it rests', () => {
    expect(worn(fresh, 1e6, 0)).toEqual(fresh)
  })

  test('is new after a repair; of those that do not hold is the share that was asked for, and they are worn soon', () => {
    const old = { ...fresh, wear: 0.9 }
    const all = Array.from({ length: 2_000 }, (_, i) => repaired(old, WEAR, createRandom(`pump ${i}`)))
    const [bad, good] = [all.filter(({ lifeSeconds }) => lifeSeconds < 100), all.filter(({ lifeSeconds }) => lifeSeconds > 500)]
    expect(all.every(({ wear, repairs }) => wear === 0 && repairs === 1)).toBe(true)
    expect(bad.length + good.length).toBe(all.length)
    expect(bad.length / all.length).toBeGreaterThan(0.26)
    expect(bad.length / all.length).toBeLessThan(0.34)
    expect(repaired(old, { ...WEAR, relapse: 0 }, createRandom('pump')).lifeSeconds).toBeGreaterThan(500)
  })

  test('is repaired as it would be anyhow, whatever else its device did meanwhile', () => {
    const [one, two] = [createRandom('pump'), createRandom('pump')]
    for (let i = 0; i < 17; i++) two.next()
    expect(repaired(fresh, WEAR, one)).toEqual(repaired(fresh, WEAR, two))
  })

  test('of a fleet is worn a little, each differently', () => {
    const wears = Array.from({ length: 100 }, (_, i) => someBearing(WEAR, 0.4, createRandom(`pump ${i}`)).wear)
    expect(new Set(wears).size).toBe(100)
    expect(wears.every((wear) => wear >= 0 && wear < 0.4)).toBe(true)
  })
})

/** A measurement a second of real time, until `until` says so or `seconds` are over. */
function runs(device: ReturnType<typeof pumpOf>, from: number, seconds: number, until = (_: Measured) => false): Measured[] {
  const measured: Measured[] = []
  for (let i = 1; i <= seconds; i++) {
    const { values, events } = device.measure(from + i * 1_000)
    const one = { at: from + i * 1_000, ...(values as Omit<Measured, 'at' | 'events'>), events }
    measured.push(one)
    if (until(one)) break
  }
  return measured
}

interface Measured {
  at: number
  vibration: number
  temperature: number
  flow: number
  running: boolean
  events: Array<{ name: string; data: unknown }>
}

const pumpOf = (seed: string, wear?: WearOptions, dayMs = DAY) => createSimulatedDevice('pump', createRandom(seed), START, dayMs, wear)
const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length
const trips = ({ events }: Measured) => events.some(({ name }) => name === 'tripped')

describe('a simulated pump that wears out in ten minutes', () => {
  const wear = { wearMs: 10 * MINUTE }
  const device = pumpOf('worn', wear)
  const life = runs(device, START, 900, trips)
  const last = life.at(-1)!

  test('shakes more and more and gets hot, until it trips and says so', () => {
    expect(trips(last)).toBe(true)
    expect(life.length).toBeGreaterThan(5 * 60)
    expect(life.length).toBeLessThan(11.5 * 60)
    expect(life.slice(0, -1).every(({ running, vibration }) => running && vibration > 1)).toBe(true)
    const part = (from: number, to: number) => life.slice(life.length * from, life.length * to)
    const [early, middle, late] = [part(0, 0.1), part(0.45, 0.55), part(0.9, 0.99)]
    for (const name of ['vibration', 'temperature'] as const) {
      const means = [early, middle, late].map((some) => mean(some.map((one) => one[name])))
      expect(means[0]!).toBeLessThan(means[1]!)
      expect(means[1]!).toBeLessThan(means[2]!)
    }
    expect(mean(early.map(({ vibration }) => vibration))).toBeLessThan(2.8)
    expect(mean(late.map(({ vibration }) => vibration))).toBeGreaterThan(10)
    expect(Math.max(...late.map(({ temperature }) => temperature))).toBeGreaterThan(80)
    // Noise: it does not only rise.
    expect(life.filter(({ vibration }, i) => i > 0 && vibration < life[i - 1]!.vibration).length).toBeGreaterThan(life.length / 4)
  })

  test('says nothing that its model does not know', () => {
    const { events, properties } = modelOf('pump')!
    const [tripped] = last.events
    expect(events.get(tripped!.name)!.problemOf(tripped!.data as never)).toBeUndefined()
    expect(tripped!.data).toEqual({ vibration: VIBRATION.limit })
    for (const { at: _at, events: _events, ...values } of life)
      for (const [name, value] of Object.entries(values)) expect(properties.get(name)!.problemOf(value), name).toBeUndefined()
  })

  test('stands still until its bearing is new, and then runs as on its first day', () => {
    const still = runs(device, last.at, 600)
    expect(still.some(({ running, events }) => running || events.some(({ name }) => name === 'tripped'))).toBe(false)
    expect(still.at(-1)!.vibration).toBeLessThan(0.5)
    const { at } = still.at(-1)!
    expect(device.act('resetBearing', at)).toMatchObject({ answer: { status: 'succeeded' } })
    const again = runs(device, at, 240)
    expect(again.every(({ running }) => running)).toBe(true)
    expect(Math.max(...again.map(({ vibration }) => vibration))).toBeLessThan(2.8)
  })

  test('takes as long on a short simulated day', () => {
    const quick = runs(pumpOf('worn', wear, 10 * MINUTE), START, 900, trips)
    expect(Math.abs(quick.length - life.length)).toBeLessThan(15)
  })

  test('is the same for the same seed', () => {
    expect(runs(pumpOf('worn', wear), START, 900, trips)).toEqual(life)
    expect(runs(pumpOf('other', wear), START, 900, trips)).not.toEqual(life)
  })
})

test('a repair before it trips makes it quiet, and one that does not hold is heard within a short time', () => {
  const shaking = ({ vibration }: Measured) => vibration > 8
  const trouble = (relapseShare: number) => {
    const device = pumpOf('repaired', { wearMs: 10 * MINUTE, relapseShare })
    const { at } = runs(device, START, 900, shaking).at(-1)!
    device.act('resetBearing', at)
    const after = runs(device, at, 900, shaking)
    expect(mean(after.slice(0, 10).map(({ vibration }) => vibration))).toBeLessThan(2.8)
    return after.length
  }
  expect(trouble(0)).toBeGreaterThan(6 * 60)
  expect(trouble(1)).toBeLessThan(1.2 * 60)
})

test('usual pumps stay within what is normal, and none trips', () => {
  for (let i = 0; i < 20; i++) {
    const device = pumpOf(`usual ${i}`)
    for (let minute = 1; minute <= 2_880; minute++) {
      const { values, events } = device.measure(START + minute * MINUTE)
      expect(values.vibration as number).toBeLessThan(2.8)
      expect(values.temperature as number).toBeLessThan(80)
      expect(events.every(({ name }) => name === 'leak')).toBe(true)
    }
  }
})

test('the command line says in which time they wear out, and which share of the repairs does not hold', () => {
  const options = (...more: string[]) => parseArguments(['node', 'simulate', ...more])
  expect(options('--wear', '10m', '--relapse', '30%')).toMatchObject({ wearMs: 600_000, relapseShare: 0.3 })
  expect(options()).toMatchObject({ wearMs: undefined, relapseShare: 0 })
})
