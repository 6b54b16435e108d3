/** A process's health over HTTP: `/healthz` (it runs), `/readyz` (it serves), `/metrics`; and those of its peers, for `api`. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Peer } from '../config.ts'
import { mergeExposition } from '../telemetry/exposition.ts'
import type { Health, Readiness } from './health.ts'

const PEER_TIMEOUT_MS = 1_500

export interface HealthOptions {
  name: string
  ready: () => true | string | false
  metrics: () => Promise<string>
  /** All of them, this one included. */
  peers: Peer[]
}

export function createHealth({ name, ready, metrics, peers }: HealthOptions): Health {
  const others = peers.filter((peer) => peer.name !== name)
  const own = (): Readiness => {
    const answer = ready()
    return { ready: answer === true, processes: { [name]: answer || 'not ready' } }
  }
  return {
    ready: own,
    async readyAll() {
      const answers = [own(), ...(await Promise.all(others.map(readinessOf)))]
      return { ready: answers.every((answer) => answer.ready), processes: Object.assign({}, ...answers.map((answer) => answer.processes)) }
    },
    metrics,
    async metricsAll() {
      const texts = await Promise.all(
        others.map((peer) =>
          get(peer, '/metrics').then(
            (response) => response.text(),
            () => '',
          ),
        ),
      )
      return mergeExposition([await metrics(), ...texts])
    },
  }
}

export interface HealthServer {
  port: number
  close(): void
}

export async function serveHealth(health: Health, host: string, port: number): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const answer = async (): Promise<[number, string, string]> => {
      if (request.method !== 'GET' && request.method !== 'HEAD') return [405, 'text/plain', 'GET only\n']
      const path = request.url?.split('?')[0]
      if (path === '/healthz') return [200, 'application/json', '{"status":"ok"}\n']
      if (path === '/readyz') {
        const readiness = health.ready()
        return [readiness.ready ? 200 : 503, 'application/json', `${JSON.stringify(readiness)}\n`]
      }
      if (path === '/metrics') return [200, 'text/plain; version=0.0.4; charset=utf-8', await health.metrics()]
      return [404, 'text/plain', '/healthz, /readyz, /metrics\n']
    }
    answer()
      .catch((error): [number, string, string] => [500, 'text/plain', `${(error as Error).message}\n`])
      .then(([status, type, body]) => response.writeHead(status, { 'content-type': type, allow: 'GET, HEAD' }).end(body))
  })
  server.maxConnections = 100
  server.requestTimeout = 5_000
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port }, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

async function readinessOf(peer: Peer): Promise<Readiness> {
  try {
    return (await (await get(peer, '/readyz')).json()) as Readiness
  } catch {
    return { ready: false, processes: { [peer.name]: 'it does not answer' } }
  }
}

function get(peer: Peer, path: string): Promise<Response> {
  return fetch(peer.url + path, { signal: AbortSignal.timeout(PEER_TIMEOUT_MS) })
}
