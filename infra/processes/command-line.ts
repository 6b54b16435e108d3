/** The command line: no argument is the whole Castor under its supervisor, a name is that process alone. */
import { Command } from 'commander'
import { ConfigError } from '../config.ts'
import { PROCESS_NAMES } from './process.ts'

const DESCRIPTIONS = {
  bridge: 'the MQTT broker and HTTP for devices',
  processor: 'processes the ingest log and feeds the twins',
  worker: 'runs the twins: Temporal workflows and activities',
  dispatcher: 'numbers events and sends webhooks',
  api: 'REST, its documentation, health of all',
} as const

const program = new Command('castor')
  .description('Durable digital twins for IoT devices. Without a command: everything, with embedded Postgres and Temporal.')
  .showHelpAfterError()
  .action(async () => (await import('./dev.ts')).runDev())
for (const name of PROCESS_NAMES)
  program
    .command(name)
    .description(`${DESCRIPTIONS[name]} (alone; needs DATABASE_URL and TEMPORAL_ADDRESS)`)
    .action(async () => (await import('./run-process.ts')).runProcess(name))

try {
  await program.parseAsync()
} catch (error) {
  // A setting that is wrong needs no stack.
  console.error(error instanceof ConfigError ? error.message : error)
  process.exit(1)
}
