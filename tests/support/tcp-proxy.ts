/** A TCP proxy that a test can cut, mute and open again: a server that goes away and comes back at the same address. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  port: number
  /** Ends all connections and refuses new ones. */
  cut(): void
  /** Passes on what clients say, but swallows the answers, and then ends the connection when `cut` is called. */
  mute(): void
  open(): void
  close(): Promise<void>
}

export async function startTcpProxy(upstream: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let state: 'open' | 'mute' | 'cut' = 'open'
  const server = createServer({ noDelay: true }, (client) => {
    if (state === 'cut') {
      client.destroy()
      return
    }
    const target = connect({ ...upstream, noDelay: true })
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        target.destroy()
      })
    }
    client.pipe(target)
    target.on('data', (chunk) => {
      if (state !== 'mute') client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  function cut(): void {
    state = 'cut'
    for (const socket of sockets) socket.destroy()
  }

  return {
    port: (server.address() as AddressInfo).port,
    cut,
    mute() {
      state = 'mute'
    },
    open() {
      state = 'open'
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The same Postgres, reached through a proxy of its own. */
export async function proxiedDatabase(url: string): Promise<{ url: string; proxy: TcpProxy }> {
  const target = new URL(url)
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(target.port || 5432) })
  target.searchParams.delete('host')
  target.hostname = '127.0.0.1'
  target.port = String(proxy.port)
  return { url: target.href, proxy }
}
