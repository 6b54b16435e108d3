/** A TCP balancer in front of several servers: each connection goes to the next that accepts it, as in front of real bridges. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Balancer {
  port: number
  close(): Promise<void>
}

export async function startBalancer(ports: number[]): Promise<Balancer> {
  const open = new Set<Socket>()
  let turn = 0
  const keep = (socket: Socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
  }
  const server = createServer(async (client) => {
    keep(client)
    turn += 1
    const upstream = await firstThatAccepts(ports.map((_, i) => ports[(i + turn) % ports.length]!))
    if (!upstream) return client.destroy()
    keep(upstream)
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function firstThatAccepts(ports: number[]): Promise<Socket | undefined> {
  for (const port of ports) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const accepted = await new Promise<boolean>((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    )
    if (accepted) return socket
  }
  return undefined
}
