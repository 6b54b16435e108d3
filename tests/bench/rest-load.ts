/**
 * REST clients, a process of their own: so many kept-alive connections, each asking again as soon as it is answered.
 * One job over IPC, one report back.
 */
import { HttpClient } from './http.ts'
import { percentile } from './statistics.ts'

export interface RestJob {
  host: string
  port: number
  key: string
  clients: number
  seconds: number
  request: RestRequest
}

/** `{n}` in a path is a random number below `of`; in a created id it counts up. */
export type RestRequest = { kind: 'get'; path: string; of: number } | { kind: 'create'; prefix: string; model: string }

export interface RestReport {
  perSecond: number
  p50Ms: number
  p99Ms: number
  bytesMean: number
  errors: number
  /** One of the answers that were no success, in short. */
  error: string
}

let created = 0

process.once('message', async (job: RestJob) => {
  const latencies: number[] = []
  const failures = { errors: 0, error: '' }
  let bytes = 0
  const from = performance.now()
  const until = from + job.seconds * 1000
  const clients = Array.from({ length: job.clients }, async () => {
    const http = new HttpClient(job.host, job.port, job.key)
    while (performance.now() < until) {
      const at = performance.now()
      try {
        const { status, body } = await ask(http, job.request)
        if (status >= 300) throw new Error(`${status} ${body.toString('utf8', 0, 300)}`)
        latencies.push(performance.now() - at)
        bytes += body.length
      } catch (error) {
        failures.errors++
        failures.error = (error as Error).message
        if (failures.errors > 1000) break
      }
    }
    http.close()
  })
  await Promise.all(clients)
  const seconds = (performance.now() - from) / 1000
  if (latencies.length === 0) latencies.push(0)
  process.send?.({
    perSecond: latencies.length / seconds,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    bytesMean: Math.round(bytes / latencies.length),
    ...failures,
  } satisfies RestReport)
})
process.on('disconnect', () => process.exit(0))

function ask(http: HttpClient, request: RestRequest) {
  if (request.kind === 'create') return http.post('/v1/devices', { id: `${request.prefix}${created++}`, model: request.model })
  return http.get(request.path.replaceAll('{n}', String(Math.floor(Math.random() * request.of))))
}
