/** `npm run inference`: the reference model server, for whoever wants to see predictions without a model of their own. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { Command, InvalidArgumentError } from 'commander'
import { PUMP_MODEL } from './pump-model.ts'
import { createInferenceServer } from './server.ts'

const { port, host } = new Command('npm run inference --')
  .description(
    'A reference model for the simulator’s pump: a hand-made score, not a trained model. Served by the Open Inference Protocol v2.',
  )
  .option('--port <n>', 'where it listens; 0: a free one', portOf, 8500)
  .option('--host <address>', 'where it listens', '127.0.0.1')
  .helpOption('-h, --help', 'show this')
  .parse()
  .opts<{ port: number; host: string }>()

const server = createAdaptorServer({ fetch: createInferenceServer().fetch }) as Server
server.once('error', (error: NodeJS.ErrnoException) => {
  console.error(error.code === 'EADDRINUSE' ? `Port ${port} on ${host} is taken: choose another with --port.` : error.message)
  process.exitCode = 1
})
server.listen(port, host, () => {
  const { port: chosen } = server.address() as AddressInfo
  console.log(`${PUMP_MODEL.name}: a reference model for the simulator’s pump: a hand-made score, not a trained model.`)
  console.log(`Open Inference Protocol v2 at http://${host.includes(':') ? `[${host}]` : host}:${chosen}. Ctrl-C stops it.`)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    server.close()
    server.closeAllConnections()
  })

function portOf(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > 65_535) throw new InvalidArgumentError('A port: 0 to 65535.')
  return value
}
