/**
 * Readers of the live stream, a process of their own: so many at once, each over a connection of its own. Counts what they are told, and how
 * long after its own time (`ts`, the moment of its PUBLISH: same clock) a reading and a decision reach them.
 */
import http from 'node:http'
import { percentile } from './statistics.ts'

export interface ListenersPlan {
  host: string
  port: number
  key: string
  /** One stream each: what stands after `/v1/stream?`. */
  queries: string[]
}

export interface ListenersReport {
  open: number
  readings: number
  decisions: number
  /** Streams that ended, and gaps told: both must be 0. */
  ended: number
  gaps: number
  readingP50Ms: number
  readingP99Ms: number
  decisionP50Ms: number
  decisionP99Ms: number
}

interface Told {
  readings?: Array<{ ts: string }>
  ts?: string
}

const OPENING_AT_ONCE = 50
const counts = { open: 0, ended: 0, gaps: 0 }
let readings: number[] = []
let decisions: number[] = []

/** `mark`: forget what was measured so far. */
process.on('message', (message: ListenersPlan | 'mark' | 'report') => {
  if (message === 'report') process.send?.(report())
  else if (message === 'mark') [readings, decisions] = [[], []]
  else void openAll(message)
})
process.on('disconnect', () => process.exit(0))

async function openAll(plan: ListenersPlan): Promise<void> {
  const next = plan.queries.values()
  await Promise.all(
    Array.from({ length: OPENING_AT_ONCE }, async () => {
      for (const query of next) await open(plan, query)
    }),
  )
  process.send?.(report())
}

function open({ host, port, key }: ListenersPlan, query: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}` }
    const request = http.get({ host, port, path: `/v1/stream?${query}`, headers, agent: false }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`/v1/stream: ${response.statusCode}`))
      counts.open++
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        const events = (rest + text).split('\n\n')
        rest = events.pop()!
        for (const event of events) heard(event)
      })
      response.on('close', () => {
        counts.open--
        counts.ended++
      })
      resolve()
    })
    request.on('error', reject)
  })
}

function heard(event: string): void {
  const data = event.split('\n').find((line) => line.startsWith('data: '))
  if (data === undefined) return
  if (event.includes('\nevent: gap')) counts.gaps++
  const { readings: told, ts } = JSON.parse(data.slice(6)) as Told
  const now = Date.now()
  if (told) readings.push(now - Date.parse(told[0]!.ts))
  else if (ts !== undefined) decisions.push(now - Date.parse(ts))
}

function report(): ListenersReport {
  const [r, d] = [readings, decisions].map((values) => (values.length > 0 ? values : [Number.NaN])) as [number[], number[]]
  return {
    ...counts,
    readings: readings.length,
    decisions: decisions.length,
    readingP50Ms: percentile(r, 50),
    readingP99Ms: percentile(r, 99),
    decisionP50Ms: percentile(d, 50),
    decisionP99Ms: percentile(d, 99),
  }
}
