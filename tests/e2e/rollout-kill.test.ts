/**
 * A rollout of a thousand devices, in whose midst each process of Castor is killed once: every device ends as it does in a rollout that nobody
 * disturbs, after one job. The devices take their updates lightly (tests/bench/light-update.ts): they download nothing.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRandom } from '../../infra/simulator/random.ts'
import { register } from '../bench/fleet.ts'
import { RolloutKit } from '../bench/rollout-kit.ts'
import { CASTOR_PROCESSES, startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { until } from '../support/wait.ts'

const DEVICES = 1_000
const WAVES = [10, 40, 200, 750]
/** There is one of each kind among as many others, which are updated before, while nobody disturbs. */
const KINDS = 20
/** So few cannot install it that they halt nothing, in whichever wave they are. */
const fails = (n: number) => n % KINDS === 7
const GATE = 0.5
const SPEC = { gate: GATE, failures: { share: 0.5, minimum: 20 }, soak: '1s', perSecond: 100 }
/** Until all is there again after the supervisor was killed, on a busy machine. */
const START_MS = 120_000
const END_MS = 240_000
/** Looking is not to slow down what is looked at. */
const LOOK_MS = 200

let castor: TestCastor
let kit: RolloutKit

beforeAll(async () => {
  castor = await startCastor()
  const { key: adminKey, mqttPort, sql } = castor
  kit = await RolloutKit.start({ host: '127.0.0.1', httpPort: Number(new URL(castor.api).port), mqttPort, adminKey, sql }, () => {})
  await kit.connect(await register(castor, 'u', KINDS), 'u-1', fails)
  await kit.connect(await register(castor, 'k', DEVICES), 'k-1', fails)
  await kit.firmware('2-bad')
}, 400_000)

afterAll(async () => {
  await kit?.stop()
  await castor?.stop()
})

test('whatever is killed in its midst, a rollout brings every device to the same end, by one job, and begins no wave before its gate', {
  timeout: 900_000,
}, async () => {
  const { id: quiet } = await kit.rollout('u-1', '2-bad', { ...SPEC, waves: [{ percent: 100 }] })
  await completed(quiet)
  const undisturbed = outcomes(await targetsOf(quiet))
  expect(undisturbed.size).toBe(KINDS)

  const { id } = await kit.rollout('k-1', '2-bad', SPEC)
  const killed: string[] = []
  const random = createRandom(randomUUID())
  const moments = CASTOR_PROCESSES.map((name) => ({ name, healthy: Math.floor(random.between(0, DEVICES * 0.95)) }))
  for (const { name, healthy } of moments.sort((a, b) => a.healthy - b.healthy)) {
    const then = `after ${killed.join(', ') || 'nothing'} was killed`
    await until(async () => ((await kit.counts(id)).healthy ?? 0) >= healthy, `${healthy} devices are healthy, ${then}`, END_MS, LOOK_MS)
    await until(() => castor.kill(name), `${name} runs, ${then}`, START_MS)
    if (name === 'supervisor') await castor.start()
    killed.push(`${name} at ${healthy}`)
  }
  await completed(id)
  await castor.ready(START_MS)

  const when = `killed were ${killed.join(', ')}`
  const targets = await targetsOf(id)
  const expected = targets.map(({ device }) => [device, undisturbed.get(`u${Number(device.slice(1)) % KINDS}`)] as const)
  expect(outcomes(targets), when).toEqual(new Map(expected))
  expect(targets, when).toHaveLength(DEVICES)
  expect(
    WAVES.flatMap((_, wave) => earlyStart(targets, wave)),
    when,
  ).toEqual([])
  const { waves } = (await kit.status(id)) as Json
  expect(waves, when).toMatchObject(WAVES.map((size, wave) => ({ total: size, ...endsIn(targets, wave) })))
  const { jobs } = await kit.report()
  expect(Object.keys(jobs)).toHaveLength(DEVICES + KINDS)
  expect(
    Object.entries(jobs).filter(([, count]) => count !== 1),
    `devices with more than one job; ${when}`,
  ).toEqual([])
})

/** Nobody answers while the api is away. */
async function completed(id: string): Promise<void> {
  await until(async () => (await kit.status(id)).status === 'completed', 'the rollout is completed', END_MS, LOOK_MS)
}

interface Target {
  device: string
  wave: number
  status: string
  reason: string | null
  /** Seconds. */
  startedAt: number
  endedAt: number
  /** All of this rollout. */
  updates: Json[]
  /** Decisions that ended them. */
  ends: number
}

async function targetsOf(id: string): Promise<Target[]> {
  return castor.sql<Target[]>`
    select t.device, t.wave, t.status, t.reason,
      extract(epoch from t.started_at)::float8 as "startedAt", extract(epoch from t.ended_at)::float8 as "endedAt",
      (select json_agg(json_build_object('status', u.status, 'code', u.code, 'attempt', u.attempt, 'isOver', u.ended_at is not null))
        from updates u where u.rollout = ${id} and u.incarnation = t.incarnation) as updates,
      (select count(*)::int from twin_history h
        where h.incarnation = t.incarnation and h.kind = 'update-ended' and h.event::json ->> 'rollout' = ${id}) as ends
    from rollout_targets t where t.rollout = ${id} and not t.back order by t.number`
}

/** By device, all but when and in which wave. */
function outcomes(targets: Target[]): Map<string, object> {
  return new Map(targets.map(({ device, status, reason, updates, ends }) => [device, { status, reason, updates, ends }]))
}

/** Its first device was asked when too few of the wave before were healthy. */
function earlyStart(targets: Target[], wave: number): string[] {
  const before = targets.filter((target) => target.wave === wave - 1)
  const startedAt = Math.min(...targets.filter((target) => target.wave === wave).map((target) => target.startedAt))
  const healthy = before.filter((target) => target.status === 'healthy' && target.endedAt <= startedAt).length
  return healthy >= Math.ceil(before.length * GATE) ? [] : [`wave ${wave + 1}, at ${healthy} of ${before.length}`]
}

function endsIn(targets: Target[], wave: number): { healthy: number; failed: number } {
  const count = (wanted: string) => targets.filter((target) => target.wave === wave && target.status === wanted).length
  return { healthy: count('healthy'), failed: count('failed') }
}
