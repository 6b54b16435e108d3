/** Many readers and slow ones: nobody is thinned, nobody costs the others, and there are bounds. */
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { Follower, LiveApi } from './live-api.ts'
import { DEMO_KEY } from './test-api.ts'

let castor: LiveApi
afterEach(() => castor.stop())

const left = { kind: 'range-changed', name: 'temperature', before: 'normal', after: 'high', ts: 1_764_000_000_000 }

async function publish(incarnation: number, from: number, count: number, padding = ''): Promise<void> {
  const values = Array.from({ length: count }, (_, n) => ({ ...left, value: from + n, padding }))
  for (let n = 0; n < count; n += 500) await castor.decide(incarnation, values.slice(n, n + 500))
}

test('200 readers each get every event of theirs, once and in order', async () => {
  castor = await LiveApi.start()
  const device = (await castor.first.register('t-1', { site: 'north' })).incarnation
  const other = (await castor.first.register('t-2', { site: 'south' })).incarnation
  const queries = ['', '?device=t-1', `?filter=${encodeURIComponent("attributes.site = 'south'")}`, '?types=decision,reading']
  const readers = await Promise.all(Array.from({ length: 200 }, (_, n) => Follower.open(castor.running.url, queries[n % 4])))
  expect(castor.running.live.readers).toBe(200)
  for (let n = 0; n < 50; n++) {
    await castor.decide(device, [{ ...left, value: n }])
    await castor.decide(other, [{ ...left, value: 100 + n }])
    await castor.say(device, { temperature: n })
  }
  const [first, second] = [Array.from({ length: 50 }, (_, n) => n), Array.from({ length: 50 }, (_, n) => 100 + n)]
  for (const [n, reader] of readers.entries()) {
    const kind = n % 4
    await reader.has(kind === 0 ? 100 : kind === 3 ? 150 : 50)
    const values = reader.events.filter(({ type }) => type === 'decision').map(({ data }) => data.value)
    if (kind !== 2) expect(values.filter((value) => value < 100)).toEqual(first)
    if (kind !== 1) expect(values.filter((value) => value >= 100)).toEqual(second)
    if (kind === 3) expect(reader.events.filter(({ type }) => type === 'reading').map(({ data }) => data.readings[0].value)).toEqual(first)
    expect(reader.events.some(({ type }) => type === 'gap')).toBe(false)
  }
  await Promise.all(readers.map((reader) => reader.close()))
  await until(() => castor.running.live.readers === 0, 'all are gone')
})

test('a reader that takes nothing for long is pushed out of memory and still gets all of it, while others are served', async () => {
  castor = await LiveApi.start({ ring: { bytes: 2_000_000, items: 2_000 } })
  const device = (await castor.first.register('t-1')).incarnation
  const [slow, quick] = [await Follower.open(castor.running.url), await Follower.open(castor.running.url)]
  slow.response.pause()
  const padding = 'x'.repeat(2_000)
  for (let n = 0; n < 10_000; n += 1_000) {
    await publish(device, n, 1_000, padding)
    await quick.has(n + 1_000)
  }
  expect(castor.running.live.behind).toBe(1)
  expect(slow.events.length).toBeLessThan(5_000)
  slow.response.resume()
  await slow.has(10_000)
  expect(slow.events.map(({ data }) => data.value)).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
  expect(quick.events.map(({ data }) => data.value)).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
  await publish(device, 10_000, 1)
  await slow.has(10_001)
  await until(() => castor.running.live.behind === 0, 'it has caught up')
  await Promise.all([slow.close(), quick.close()])
})

test('one that takes nothing at all is ended some time, and gives its place back', async () => {
  castor = await LiveApi.start({ stuckMs: 500 })
  const device = (await castor.first.register('t-1')).incarnation
  const stuck = await Follower.open(castor.running.url)
  stuck.response.pause()
  await publish(device, 0, 3_000, 'x'.repeat(4_000))
  await until(() => castor.running.live.readers === 0, 'it is ended')
  stuck.response.resume()
  await until(() => stuck.ended, 'its connection is closed')
  expect(stuck.events.length).toBeLessThan(3_000)
})

test('beyond what a process or a key may have open, more are refused; a place that is given back can be taken', async () => {
  castor = await LiveApi.start({ readers: 3, readersOfOne: 2 })
  const { sql } = castor
  await sql`insert into api_keys (key_hash, tenant, name) values (sha256('third-key-0123456789'::bytea), 'demo', 'third')`
  const open = (key?: string) => Follower.open(castor.running.url, '', key === undefined ? {} : { key })
  const mine = [await open(), await open()]
  await expect(open()).rejects.toThrow(/^429 .*2 streams/)
  const other = await open('third-key-0123456789')
  await expect(open('third-key-0123456789')).rejects.toThrow(/^503 .*3 streams/)
  await mine[0]!.close()
  await until(() => castor.running.live.readers === 2, 'it is gone')
  const again = await open('third-key-0123456789')
  await Promise.all([mine[1]!, other, again].map((reader) => reader.close()))
})

test('stopping ends all of them at once', async () => {
  castor = await LiveApi.start()
  const readers = await Promise.all(Array.from({ length: 20 }, () => Follower.open(castor.running.url, '?types=decision,reading')))
  const started = performance.now()
  await castor.running.stop()
  expect(performance.now() - started).toBeLessThan(1_000)
  await until(() => readers.every(({ ended }) => ended), 'all have ended')
})

test('a HEAD request keeps no place: nobody reads what it would be sent', async () => {
  castor = await LiveApi.start({ stuckMs: 300 })
  const headers = { authorization: `Bearer ${DEMO_KEY}` }
  const { status } = await fetch(`${castor.running.url}/v1/stream`, { method: 'HEAD', headers })
  expect(status).toBe(200)
  await until(() => castor.running.live.readers === 0, 'its place is given back')
})
