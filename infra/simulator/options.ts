/** The simulator's command line, parsed and checked. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { DEVICE_KINDS, type DeviceKindName } from './devices/device.ts'
import { FATES, type FateShares } from './firmware/fate.ts'

export interface SimulatorOptions {
  devices: number
  intervalMs: number
  /** Infinity: until interrupted. */
  durationMs: number
  prefix: string
  /** Share over HTTP, 0 to 1. */
  httpShare: number
  models: DeviceKindName[]
  /** Shares as well. */
  sleeperShare: number
  refusingShare: number
  slowShare: number
  fates: FateShares
  lockShare: number
  checkInMs: number
  chaos: boolean
  seed: string
  report: string | undefined
  dayMs: number
  /** In which a pump's bearing wears out. Undefined: as usual. */
  wearMs: number | undefined
  /** Share of the repairs that do not hold. */
  relapseShare: number
}

const USUAL_MODELS = 'thermostat,thermostat,pump'
const MODELS_HELP = `dealt out in turn, of ${Object.keys(DEVICE_KINDS).join(', ')}`
const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Ends the process with a message when the arguments are wrong, or after --help. */
export function parseArguments(argv: string[]): SimulatorOptions {
  const command = new Command('npm run simulate --')
    .description('A fleet of simulated devices against a running Castor. They measure, and obey.')
    .addOption(new Option('--devices <n>', 'how many').default(100).argParser(count))
    .addOption(new Option('--interval <time>', 'between two measurements of a device').default(5_000, '5s').argParser(duration))
    .addOption(new Option('--duration <time>', 'how long; without it until Ctrl+C').argParser(duration))
    .option('--prefix <text>', 'what the device ids begin with', 'sim-')
    .addOption(new Option('--http <share>', 'share of the devices that speak HTTP instead of MQTT').default(0, '0%').argParser(share))
    .addOption(new Option('--models <list>', MODELS_HELP).default(['thermostat', 'thermostat', 'pump'], USUAL_MODELS).argParser(models))
    .addOption(
      new Option('--sleepers <share>', 'share of the devices that sleep between their check-ins').default(0, '0%').argParser(share),
    )
    .addOption(new Option('--check-in <time>', 'how long a sleeper sleeps').default(30_000, '30s').argParser(duration))
    .addOption(new Option('--refuse <share>', 'share of the devices that refuse wishes and commands').default(0, '0%').argParser(share))
    .addOption(new Option('--slow <share>', 'share of the devices that take 5 to 20 s to answer them').default(0, '0%').argParser(share))
    .addOption(updateShare('fail', 'cannot install an update, and say so'))
    .addOption(updateShare('brick', 'never come back from the reboot'))
    .addOption(updateShare('return', 'boot what ran before the update'))
    .addOption(updateShare('unhealthy', 'are not well after an update'))
    .addOption(updateShare('reject', 'refuse updates'))
    .addOption(updateShare('lock', 'are locked for a few seconds when they first get an update'))
    .option('--chaos', 'duplicates, late and reordered messages, wrong clocks, garbage, broken connections', false)
    .option('--seed <text>', 'of the randomness; the same seed gives the same fleet', 'castor')
    .option('--report <file>', 'write each acknowledged message as a line of JSON')
    .addOption(new Option('--day <time>', 'how long a simulated day lasts').default(86_400_000, '24h').argParser(duration))
    .addOption(new Option('--wear <time>', 'in which the bearing of a pump wears out, and it trips; without it a year').argParser(duration))
    .addOption(new Option('--relapse <share>', 'share of the repairs (`resetBearing`) that do not hold').default(0, '0%').argParser(share))
    .helpOption('-h, --help', 'show this')
    .parse(argv)
  const given = command.opts()
  const fates = {
    fail: given.updateFail,
    brick: given.updateBrick,
    return: given.updateReturn,
    unhealthy: given.updateUnhealthy,
    reject: given.updateReject,
  }
  if (FATES.reduce((sum, fate) => sum + fates[fate], 0) > 1 + 1e-9)
    command.error('error: the shares of --update-… are more than all devices together.')
  return {
    devices: given.devices,
    intervalMs: given.interval,
    durationMs: given.duration ?? Infinity,
    prefix: given.prefix,
    httpShare: given.http,
    models: given.models,
    sleeperShare: given.sleepers,
    refusingShare: given.refuse,
    slowShare: given.slow,
    fates,
    lockShare: given.updateLock,
    checkInMs: given.checkIn,
    chaos: given.chaos,
    seed: given.seed,
    report: given.report,
    dayMs: given.day,
    wearMs: given.wear,
    relapseShare: given.relapse,
  }
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 100_000) throw new InvalidArgumentError('A whole number from 1 to 100000.')
  return value
}

export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  const value = match ? Number(match[1]) * UNITS[match[2]!]! : 0
  if (value < 1) throw new InvalidArgumentError('A time like 500ms, 5s, 1m or 24h.')
  return value
}

function models(text: string): DeviceKindName[] {
  const names = text.split(',').map((name) => name.trim())
  if (!names.every((name) => Object.hasOwn(DEVICE_KINDS, name))) {
    throw new InvalidArgumentError(`A list of ${Object.keys(DEVICE_KINDS).join(', ')}, with commas between.`)
  }
  return names as DeviceKindName[]
}

/** Of the devices, by what becomes of an update on them. */
function updateShare(name: string, what: string): Option {
  return new Option(`--update-${name} <share>`, `share of the devices that ${what}`).default(0, '0%').argParser(share)
}

function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text)
  const value = match ? Number(match[1]) / (match[2] ? 100 : 1) : Number.NaN
  if (!(value <= 1)) throw new InvalidArgumentError('A share like 10% or 0.1.')
  return value
}
