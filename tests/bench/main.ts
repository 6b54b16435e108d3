/**
 * npm run bench [-- --only NAME …]: measures Castor on this machine and prints one JSON object last (medians); progress goes to stderr.
 * docs/performance.md says how to read it. NAME is a part as named below.
 */
import { execFileSync } from 'node:child_process'
import os from 'node:os'
import { Command } from 'commander'
import { Bench } from './bench.ts'
import { bulk } from './figures/bulk.ts'
import { burst } from './figures/burst.ts'
import { commands } from './figures/commands.ts'
import { cost } from './figures/cost.ts'
import { idleBegins, idleEnds } from './figures/idle.ts'
import { ingest } from './figures/ingest.ts'
import { latency } from './figures/latency.ts'
import { live } from './figures/live.ts'
import { overload } from './figures/overload.ts'
import { rest } from './figures/rest.ts'
import { largeRollout, rollout } from './figures/rollout.ts'
import { rules } from './figures/rules.ts'
import { storage } from './figures/storage.ts'
import { tickets } from './figures/tickets.ts'
import { decisions, largeFleet } from './figures/twins.ts'
import { webhooks } from './figures/webhooks.ts'
import { wide, wideFloor } from './figures/wide.ts'

type Part = [name: string, steps: Array<(bench: Bench) => Promise<unknown>>]

/** In this order: first those on a Castor with some twins, then those on one with ten thousand. */
const PARTS: Part[] = [
  ['idle', [idleBegins]],
  ['ingest', [ingest]],
  ['storage', [storage]],
  ['burst', [burst]],
  ['overload', [overload]],
  ['latency', [latency]],
  ['commands', [commands]],
  ['live', [live]],
  ['cost', [cost]],
  ['webhooks', [webhooks]],
  ['rules', [rules]],
  ['tickets', [tickets]],
  ['rollout', [rollout]],
  ['idle', [idleEnds]],
  ['wide', [wideFloor]],
  ['twins', [largeFleet]],
  ['rest', [rest]],
  ['wide', [wide]],
  ['bulk', [bulk]],
  ['rollout', [largeRollout]],
  ['decisions', [decisions]],
]

const names = [...new Set(PARTS.map(([name]) => name))]
/** Together they take as long as all others. */
const ONLY_WHEN_ASKED = ['bulk', 'webhooks', 'rollout', 'rules', 'tickets']
const program = new Command('npm run bench --')
  .option('--only <name...>', `only these parts: ${names.join(', ')} (${ONLY_WHEN_ASKED.join(', ')} only when asked for)`)
  .option('--scale <factor>', 'shorten every duration, to try the bench itself', Number, 1)
  .option('--node-options <options>', 'for the processes of Castor, as --cpu-prof')
  .parse()
const {
  only = names.filter((name) => !ONLY_WHEN_ASKED.includes(name)),
  scale,
  nodeOptions = '',
} = program.opts<{ only?: string[]; scale: number; nodeOptions?: string }>()
const unknown = only.filter((name) => !names.includes(name))
if (unknown.length > 0) program.error(`error: no such part: ${unknown.join(', ')}; there are: ${names.join(', ')}`)

const started = performance.now()
const say = (line: string) => process.stderr.write(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}\n`)
const bench = new Bench({ say, scale, nodeOptions })
const failures: Record<string, string> = {}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void bench.stop().finally(() => process.exit(1)))

for (const [name, steps] of PARTS.filter(([part]) => only.includes(part))) {
  say(`--- ${name}`)
  for (const step of steps) {
    try {
      await step(bench)
    } catch (error) {
      // One part that fails leaves the others their figures.
      failures[name] = (error as Error).message
      say(`${name} failed: ${(error as Error).stack}`)
    }
  }
}
await bench.stop()
const result = {
  ...bench.figures,
  ...(Object.keys(failures).length > 0 ? { failures } : {}),
  scale,
  tookSeconds: Math.round((performance.now() - started) / 1000),
  machine: {
    cpus: os.availableParallelism(),
    model: os.cpus()[0]?.model ?? '',
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    node: process.version,
  },
  commit: commitOf(),
  at: new Date().toISOString(),
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
process.exit(Object.keys(failures).length > 0 ? 1 : 0)

function commitOf(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      timeout: 5000,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
