/**
 * Rules: how many the core evaluates a second, what fifty of them cost ingest, and how long it takes from a reading until a webhook has the
 * alarm that it raised, beside half of full load.
 */
import { consume } from '../../../twin-models/core/consume.ts'
import { initialState } from '../../../twin-models/core/initial.ts'
import type { TwinInput, TwinRule } from '../../../twin-models/core/types.ts'
import { connectDevice, topicOf } from '../../support/client.ts'
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { MODEL } from '../fleet.ts'
import { quiet } from '../lag.ts'
import { median } from '../statistics.ts'
import { sustained } from '../sustained.ts'
import { paced, until, WebhookKit } from '../webhook-kit.ts'
import { roughRate } from './ingest.ts'

const RULES = 50
const ROUNDS = 3
const QUIET_MS = 300_000
/** Each device raises thrice at most: the fourth alarm within ten minutes would be flapping, and stay. */
const ALARMS = { devices: 160, perSecond: 10 }
const ARRIVAL_MS = 30_000

export async function rules(bench: Bench): Promise<void> {
  inTheCore(bench)
  const castor = await bench.castor('small')
  const kit = await WebhookKit.start(castor)
  try {
    await besideIngest(bench, castor, kit)
    await alarms(bench, castor, kit)
  } finally {
    await kit.stop()
  }
}

/** Fifty rules of one property, and readings that are each judged by all of them. */
function inTheCore(bench: Bench): void {
  const set = Array.from({ length: RULES }, (_, n): TwinRule => {
    const when: TwinRule['when'] = { kind: 'compare', path: ['telemetry', 'temperature', 'value'], comparison: '>', value: 100 + n }
    return { id: `r-${n}`, version: 1, severity: 'minor', text: ['hot'], when, forMs: 0, clearForMs: 0, lateMs: 300_000, onChange: 'keep' }
  })
  const inputs = Array.from({ length: 1_000 }, (_, n): TwinInput => ({ kind: 'reading', at: n, name: 'temperature', value: n % 50, ts: n }))
  let { state } = consume(initialState(), { seq: 1, batch: batchOf([{ kind: 'rules', at: 0, set, removed: [] }]) }, 0)
  const from = performance.now()
  let rounds = 0
  while (performance.now() - from < bench.seconds(3) * 1000) {
    state = consume(state, { seq: 2 + rounds, batch: batchOf(inputs) }, 0).state
    rounds++
  }
  bench.figure('rulesEvaluatedPerSecond', (rounds * inputs.length * RULES * 1000) / (performance.now() - from))
}

function batchOf(inputs: TwinInput[]) {
  return { messages: 0, lastSeenAt: 0, merged: {}, inputs }
}

/** The same devices with and without, in turn. None of the rules ever holds. */
async function besideIngest(bench: Bench, castor: Castor, kit: WebhookKit): Promise<void> {
  const { generator } = await bench.fleet('small', 'b', 1000)
  const ratios: number[] = []
  for (let round = 0; round < bench.count(ROUNDS); round++) {
    const rate = async (what: string) => {
      await quiet(castor.sql, QUIET_MS, bench.say)
      const options = { warmUpSeconds: bench.seconds(8), seconds: bench.seconds(15), perSecond: 10_000 }
      const run = await sustained(castor, generator, options)
      bench.say(`castor, 1000 connections, ${what}: ${JSON.stringify(run)}`)
      return run.perSecond
    }
    const without = await rate('no rules')
    for (let n = 0; n < RULES; n++)
      await kit.rule(`bench-${n}`, { status: 'live', model: MODEL, severity: 'minor', text: 'never', when: never(n) })
    await known(castor, bench.say)
    const beside = await rate(`${RULES} rules`)
    for (let n = 0; n < RULES; n++) await kit.removeRule(`bench-${n}`)
    await known(castor, bench.say)
    ratios.push(beside / without)
  }
  bench.figure('ruleIngestRatio', median(ratios))
}

/** Thresholds mostly, of all three values, and of each function of readings some. */
function never(n: number): string {
  const name = ['temperature', 'humidity', 'targetTemperature'][n % 3]!
  // Within what the model allows, or a rule that can never be true is refused.
  const limit = name === 'targetTemperature' ? 25 + n / 100 : 1_000 + n
  if (n % 10 === 7) return `change(telemetry.${name}.value, '5m') > ${1_000 + n}`
  if (n % 10 === 8) return `count(telemetry.${name}.value > ${limit}, '10m') >= 3`
  if (n % 20 === 9) return `deviation(telemetry.${name}.value) > ${1_000 + n}`
  if (n % 20 === 19) return `missing(telemetry.${name}, '${1 + (n % 7)}h')`
  return `telemetry.${name}.value > ${limit}`
}

/** Every twin knows the rules as they are. */
async function known(castor: Castor, say: (line: string) => void): Promise<void> {
  await until(QUIET_MS, 'all twins know the rules', async () => {
    const [row] = await castor.sql<Array<{ behind: boolean }>>`
      select exists (select from twin_inbox i join devices d using (incarnation) join rule_scopes s on s.tenant = d.tenant
        and s.model in ('', d.model) where s.change > i.rules) as behind`
    return !row!.behind
  })
  await quiet(castor.sql, QUIET_MS, say)
}

/** Readings that raise an alarm, and as many that clear it, through ingest, Temporal, the decision write and the dispatcher. */
async function alarms(bench: Bench, castor: Castor, kit: WebhookKit): Promise<void> {
  const half = (await roughRate(bench)) / 2
  const { generator } = await bench.fleet('small', 'b', 1000)
  const webhook = await kit.webhook('/alarms', ['alarm.raised'])
  await kit.rule('sent', {
    status: 'live',
    filter: "id like 'alarmed-%'",
    severity: 'minor',
    text: 'sent',
    when: 'telemetry.sentAt.value > 1',
  })
  const names = Array.from({ length: ALARMS.devices }, (_, n) => `alarmed-${n}`)
  const url = `mqtt://${castor.host}:${castor.mqttPort}`
  const devices = await Promise.all(names.map(async (name) => connectDevice(url, name, await kit.register(name, MODEL))))
  const say = (n: number, value: number) =>
    devices[n % devices.length]!.publishAsync(topicOf(names[n % names.length]!, 'telemetry'), JSON.stringify({ sentAt: value }), { qos: 1 })
  const turn = async (seconds: number): Promise<number> => {
    let raised = 0
    await paced(ALARMS.perSecond * 2, seconds, async (n) => {
      const isRaising = Math.floor(n / ALARMS.devices) % 2 === 0
      if (isRaising) raised++
      await say(n, isRaising ? Date.now() : 0)
    })
    return raised
  }
  const arrived = async (count: number) => {
    let report = await kit.came('/alarms')
    await until(ARRIVAL_MS, `${count} alarms have come`, async () => {
      report = await kit.came('/alarms')
      return report.count >= count
    })
    return report
  }
  try {
    // The first ones start their workflows.
    await kit.mark()
    await arrived(await turn((2 * ALARMS.devices) / (ALARMS.perSecond * 2)))
    generator.pace(half)
    await generator.measure(bench.seconds(5))
    await kit.mark()
    const count = await turn(bench.seconds(24))
    const report = await arrived(count)
    bench.say(`publish to alarm webhook: ${JSON.stringify(report)} beside ${Math.round(half)} messages/s`)
    bench.figure('alarmP50Ms', report.p50Ms)
    bench.figure('alarmP99Ms', report.p99Ms)
  } finally {
    generator.pace(0)
    for (const device of devices) await device.endAsync(true)
    await kit.remove([webhook])
    await kit.removeRule('sent')
  }
}
