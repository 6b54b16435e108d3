/**
 * What webhooks are sent to, a process of its own: bare node:http. By path it counts what comes and how old that is, where the event names the
 * time of its cause (`sentAt`). Under /never it takes a request and never answers.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build, type Histogram } from 'hdr-histogram-js'

export type ReceiverCommand = 'mark' | 'report'

export interface PathReport {
  count: number
  p50Ms: number
  p99Ms: number
  maxMs: number
}

/** Since the last mark. */
export interface ReceiverReport {
  port: number
  paths: Record<string, PathReport>
}

const paths = new Map<string, { count: number; ages: Histogram }>()

const server = createServer((request, response) => {
  const path = request.url!
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (text) => (body += text))
  request.on('end', () => {
    if (path.startsWith('/never')) return
    note(path, body)
    response.writeHead(204).end()
  })
})
// Longer than Castor keeps a free connection: the receiver must not be who closes it.
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', report)

process.on('message', (command: ReceiverCommand) => {
  if (command === 'mark') paths.clear()
  report()
})
process.on('disconnect', () => process.exit(0))

function note(path: string, body: string): void {
  let known = paths.get(path)
  if (!known) {
    known = { count: 0, ages: build({ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000, numberOfSignificantValueDigits: 3 }) }
    paths.set(path, known)
  }
  known.count++
  const sentAt = /"sentAt":(\d{13})/.exec(body)?.[1]
  if (sentAt !== undefined) known.ages.recordValue(Math.max(1, Date.now() - Number(sentAt)))
}

function report(): void {
  const reports = [...paths].map(([path, { count, ages }]) => {
    const ms = (percent: number) => ages.getValueAtPercentile(percent)
    return [path, { count, p50Ms: ms(50), p99Ms: ms(99), maxMs: ms(100) }] as const
  })
  const { port } = server.address() as AddressInfo
  process.send?.({ port, paths: Object.fromEntries(reports) } satisfies ReceiverReport)
}
