/** Rules as the simulation writes them: of all kinds that are decided on readings, on functions of them, on presence and on time. */
import type { Condition, TwinRule } from '../../../twin-models/core/types.ts'
import type { World } from './world.ts'

/** What devices of the simulation say, and where comparisons of it are true now and then. */
const READINGS = [
  { name: 'temperature', limits: [5, 16, 20, 24, 35] },
  { name: 'humidity', limits: [10, 50, 90] },
  { name: 'vibration', limits: [1.5, 2.4, 2.8, 3.5] },
] as const
const DAY_MINUTES = 24 * 60

export function drawRule(world: World, id: string, version: number): TwinRule {
  const { random } = world
  const of = random.pick(READINGS)
  const severity = random.pick(['warning', 'minor', 'major'] as const)
  return {
    id,
    version,
    severity,
    text: ['is ', ['telemetry', of.name, 'value']],
    when: drawWhen(world, of),
    ...(random.chance(0.5) && { clear: random.chance(0.8) ? threshold(world, of, random.pick(['<', '<='])) : drawAtom(world, of) }),
    forMs: random.pick([0, 0, 0, 5_000, 20_000]),
    clearForMs: random.pick([0, 0, 0, 5_000, 15_000]),
    lateMs: random.pick([1_000, 1_000, 60_000]),
    ...(random.chance(0.2) && { worse: [{ when: threshold(world, of, '>'), severity: 'critical' as const }] }),
    ...(random.chance(0.15) && { schedule: drawSchedule(world) }),
    onChange: random.pick(['keep', 'clear']),
  }
}

type Of = (typeof READINGS)[number]

/** Mostly of one name: those are what merging is for. */
function drawWhen(world: World, of: Of): Condition {
  const { random } = world
  const dice = random.next()
  if (dice < 0.4) return threshold(world, of, random.pick(['>', '>=', '>', '<', '!=']))
  if (dice < 0.65) return drawAtom(world, of)
  if (dice < 0.7) return { kind: 'not', term: drawAtom(world, of) }
  const terms = [threshold(world, of, '>'), random.chance(0.3) ? drawAtom(world, of) : threshold(world, random.pick(READINGS), '>')]
  return { kind: random.pick(['and', 'and', 'or']), terms }
}

function drawAtom(world: World, of: Of): Condition {
  const { random } = world
  const { name } = of
  const dice = random.next()
  if (dice < 0.2) return compare(`change(${name},20000)`, '>', random.pick([1, 5]))
  if (dice < 0.4) return compare(`count(${name}>${random.pick(of.limits)},30000,4)`, '>=', world.between(1, 3))
  if (dice < 0.5) return compare(`count(!${random.pick(['leak', 'button', 'door'])},30000,3)`, '>=', world.between(1, 2))
  if (dice < 0.7) return compare(`missing(${name},${random.pick([10_000, 30_000])})`, '=', true)
  if (dice < 0.75) return compare('health(battery)', '<', 50)
  if (dice < 0.8) return compare('mode', '=', 'eco')
  if (dice < 0.85) return { kind: 'compare', path: ['ranges', 'temperature', 'status'], comparison: '!=', value: 'normal' }
  return { kind: 'compare', path: ['presence', 'status'], comparison: '=', value: random.pick(['offline', 'offline', 'online']) }
}

type Comparison = Extract<Condition, { kind: 'compare' }>['comparison']

function threshold({ random }: World, { name, limits }: Of, comparison: Comparison): Condition {
  return compare(name, comparison, random.pick(limits))
}

function compare(name: string, comparison: Comparison, value: number | string | boolean): Condition {
  return { kind: 'compare', path: ['telemetry', name, 'value'], comparison, value }
}

/** Some minutes around now. */
function drawSchedule(world: World): NonNullable<TwinRule['schedule']> {
  const minute = Math.floor(world.now / 60_000) + world.between(-2, 3)
  const from = minute % DAY_MINUTES
  return { from, to: (from + world.between(1, 5)) % DAY_MINUTES, days: [0, 1, 2, 3, 4, 5, 6], zone: [0] }
}
