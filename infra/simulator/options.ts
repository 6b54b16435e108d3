/** The simulator's command line, parsed and checked. */
import { Command, InvalidArgumentError, Option } from 'commander'

export interface SimulatorOptions {
  devices: number
  intervalMs: number
  /** Infinity: until interrupted. */
  durationMs: number
  prefix: string
  /** Share over HTTP, 0 to 1. */
  httpShare: number
  chaos: boolean
  seed: string
  report: string | undefined
  dayMs: number
}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Ends the process with a message when the arguments are wrong, or after --help. */
export function parseArguments(argv: string[]): SimulatorOptions {
  const command = new Command('npm run simulate --')
    .description('A fleet of simulated thermostats and pumps against a running Castor.')
    .addOption(new Option('--devices <n>', 'how many').default(100).argParser(count))
    .addOption(new Option('--interval <time>', 'between two measurements of a device').default(5_000, '5s').argParser(duration))
    .addOption(new Option('--duration <time>', 'how long; without it until Ctrl+C').argParser(duration))
    .option('--prefix <text>', 'what the device ids begin with', 'sim-')
    .addOption(new Option('--http <share>', 'share of the devices that speak HTTP instead of MQTT').default(0, '0%').argParser(share))
    .option('--chaos', 'duplicates, late and reordered messages, wrong clocks, garbage, broken connections', false)
    .option('--seed <text>', 'of the randomness; the same seed gives the same fleet', 'castor')
    .option('--report <file>', 'write each acknowledged message as a line of JSON')
    .addOption(new Option('--day <time>', 'how long a simulated day lasts').default(86_400_000, '24h').argParser(duration))
    .helpOption('-h, --help', 'show this')
    .parse(argv)
  const given = command.opts()
  return {
    devices: given.devices,
    intervalMs: given.interval,
    durationMs: given.duration ?? Infinity,
    prefix: given.prefix,
    httpShare: given.http,
    chaos: given.chaos,
    seed: given.seed,
    report: given.report,
    dayMs: given.day,
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

function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text)
  if (!match || Number(match[1]) > 100) throw new InvalidArgumentError('A share like 10%.')
  return Number(match[1]) / 100
}
