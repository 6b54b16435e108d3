/**
 * `npm run chaos -- --minutes M [--seed S]`: a whole Castor under load from misbehaving devices, whose processes are killed with
 * SIGKILL again and again at random moments. At the end it is left alone, and everything that it acknowledged must be there, once.
 * Ends with 1 and the details if not; the data folder is then kept.
 */
import { Command, InvalidArgumentError, Option } from 'commander'
import { createRandom } from '../../infra/simulator/random.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { watchMemory } from '../support/memory.ts'
import { until } from '../support/wait.ts'
import { killAtRandom } from './kills.ts'
import { type Load, startLoad } from './load.ts'
import { drained } from './settled.ts'
import { createFindings, type Findings, incarnationsOf, verify } from './verify.ts'
import { verifyOnline } from './verify-twins.ts'

const CALM_MS = 120_000
/** Longer than the widest window in which routine readings may wait. */
const DRAIN_MS = 15 * 60_000
const MEMORY_LIMIT_MB = 1_024
const TENANT = 'demo'

const options = parseArguments()
const startedAt = Date.now()
const say = (line: string) => console.log(`${clock(Date.now() - startedAt)}  ${line}`)
process.exitCode = await run()

async function run(): Promise<number> {
  say(`seed ${options.seed}: ${options.minutes} minutes, ${options.devices} devices, a message each ${options.interval} ms`)
  const castor = await startCastor({ keepData: true })
  const findings = createFindings()
  let load: Load | undefined
  try {
    load = await startLoad(castor, { devices: options.devices, intervalMs: options.interval, seed: options.seed, mischief: true })
    await torment(castor, load, findings)
  } catch (error) {
    findings.add('the run itself failed', (error as Error).stack ?? String(error))
  } finally {
    await load?.stop()
    const code = await castor.stop()
    if (code !== 0) findings.add('Castor did not stop in order', `exit code ${code}\n${castor.output()}`)
  }
  if (findings.count === 0) {
    await castor.removeData()
    say('nothing lost, nothing twice, nobody wrongly offline')
    return 0
  }
  say(`${findings.count} violations (seed ${options.seed}); the data folder is kept: ${castor.dataDir}`)
  for (const line of findings.lines()) console.log(`  ${line}`)
  return 1
}

async function torment(castor: TestCastor, load: Load, findings: Findings): Promise<void> {
  const { fleet, ledger } = load
  const memory = watchMemory(castor.pids)
  const state = () => `online ${fleet.figures.online}/${options.devices}, acknowledged ${fleet.figures.acknowledged}`
  await until(() => fleet.figures.online === options.devices, 'the fleet is online', CALM_MS)
  const end = Date.now() + options.minutes * 60_000
  const { counts } = await killAtRandom(castor, createRandom(`${options.seed}/kills`), end, (line) => say(`${line.padEnd(45)} ${state()}`))

  say('leaving it alone')
  await castor.ready()
  await load.calm(CALM_MS)
  await onlineInTheEnd(castor, fleet.ids, findings)
  await load.quiet(CALM_MS)
  say(`all acknowledged; waiting until every twin has decided`)
  await drained(castor.sql, DRAIN_MS)

  say(`comparing ${ledger.count} acknowledged messages with what is there`)
  const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
  const { silences } = await verify({ sql: castor.sql, tenant: TENANT, devices: fleet.ids, ledger, twin }, findings)
  memory.stop()
  for (const [name, peak] of Object.entries(memory.peaks())) {
    if (peak > MEMORY_LIMIT_MB && name !== 'postgres') findings.add('too much memory', `${name}: ${peak} MB`)
  }
  summarise(load, counts, memory.peaks(), silences)
}

/** Decisions take a moment: whoever is still shown offline after a while is a finding. */
async function onlineInTheEnd(castor: TestCastor, devices: string[], findings: Findings): Promise<void> {
  const incarnations = await incarnationsOf(castor.sql, TENANT, devices)
  const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
  let found = createFindings()
  const allOnline = async () => {
    found = createFindings()
    await verifyOnline({ twin, incarnations }, found)
    return found.count === 0
  }
  await until(allOnline, 'all devices are shown online', CALM_MS).catch(() =>
    findings.add('shown offline though it spoke', found.lines().join('\n')),
  )
}

function summarise({ fleet, ledger }: Load, counts: Map<string, number>, peaks: Record<string, number>, silences: number): void {
  const { figures } = fleet
  say(`kills: ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`)
  say(`acknowledged ${ledger.count}, sent again ${figures.retried}, refused ${figures.refused}, dropped by full devices ${figures.dropped}`)
  say(`decisions that a device was silent: ${silences}; peak memory in MB: ${JSON.stringify(peaks)}`)
}

interface ChaosArguments {
  minutes: number
  seed: string
  devices: number
  interval: number
}

function parseArguments(): ChaosArguments {
  return new Command('npm run chaos --')
    .addOption(new Option('--minutes <m>', 'how long to kill').default(10).argParser(positive))
    .option('--seed <text>', 'of all randomness', Date.now().toString(36))
    .addOption(new Option('--devices <n>', 'how many devices').default(100).argParser(positive))
    .addOption(new Option('--interval <ms>', 'between two messages of a device').default(500).argParser(positive))
    .parse()
    .opts()
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('A number above 0.')
  return value
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  return `${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, '0')}`
}
