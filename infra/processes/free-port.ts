/** A port that is free at this moment. Another program may take it before we do: whoever listens on it says so and is started again. */
import net, { type AddressInfo } from 'node:net'

export async function freePort(host: string): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port: 0 }, resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
