/**
 * Devices that download, a process of its own: one for each link, all at once, each in parts one after the other by Range, as devices with little
 * room do. One job over IPC, one report back.
 */
import { createHash } from 'node:crypto'
import http from 'node:http'
import { percentile } from './statistics.ts'

export interface DownloadsJob {
  links: string[]
  size: number
  sha256: string
  partBytes: number
}

export interface DownloadsReport {
  megabytesPerSecond: number
  /** Of a whole artifact. */
  p50Ms: number
  p99Ms: number
  failed: number
  /** One of the reasons. */
  failure: string
}

process.once('message', async (job: DownloadsJob) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const took: number[] = []
  const failures: string[] = []
  let bytes = 0
  const from = performance.now()
  await Promise.all(
    job.links.map(async (link) => {
      try {
        // Not `bytes += await …`: that adds to what it was before the wait.
        const came = await artifact(agent, link, job)
        bytes += came
        took.push(performance.now() - from)
      } catch (error) {
        failures.push((error as Error).message)
      }
    }),
  )
  const seconds = (performance.now() - from) / 1000
  if (took.length === 0) took.push(0)
  process.send?.({
    megabytesPerSecond: bytes / 1e6 / seconds,
    p50Ms: percentile(took, 50),
    p99Ms: percentile(took, 99),
    failed: failures.length,
    failure: failures[0] ?? '',
  } satisfies DownloadsReport)
})
process.on('disconnect', () => process.exit(0))

async function artifact(agent: http.Agent, link: string, { size, sha256, partBytes }: DownloadsJob): Promise<number> {
  const hash = createHash('sha256')
  for (let at = 0; at < size; at += partBytes) await part(agent, link, at, Math.min(at + partBytes, size) - 1, hash)
  if (hash.digest('hex') !== sha256) throw new Error('what came is another content')
  return size
}

function part(agent: http.Agent, link: string, first: number, last: number, hash: ReturnType<typeof createHash>): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get(link, { agent, headers: { range: `bytes=${first}-${last}` } }, (response) => {
      if (response.statusCode !== 206) {
        reject(new Error(`status ${response.statusCode} for bytes ${first} to ${last}`))
        response.resume()
        return
      }
      let came = 0
      response.on('data', (chunk: Buffer) => {
        came += chunk.length
        hash.update(chunk)
      })
      response.on('end', () => (came === last - first + 1 ? resolve() : reject(new Error(`${came} bytes came`))))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
