/**
 * A TCP port on loopback that nobody listens on at this moment. It is below those that systems give to outgoing connections (Linux from 32768,
 * others from 49152): one of these would be taken by the next client of anything before whoever asked can listen on it.
 */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const LOWEST = 12_000
const HIGHEST = 32_000
const TRIES = 100
/** By this process: who asks for several gets different ones. */
const given = new Set<number>()

export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = randomInt(LOWEST, HIGHEST)
    if (given.has(port)) continue
    given.add(port)
    const error = await listenOnce(port)
    if (!error) return port
    if (error.code !== 'EADDRINUSE' || tries === TRIES) throw error
  }
}

async function listenOnce(port: number): Promise<NodeJS.ErrnoException | undefined> {
  const server = createServer()
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) =>
    server.once('error', resolve).listen(port, '127.0.0.1', () => resolve(undefined)),
  )
  if (!error) await new Promise((resolve) => server.close(resolve))
  return error
}
