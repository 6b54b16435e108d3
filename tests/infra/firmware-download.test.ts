/** Downloads of firmware over real HTTP: whose they are, from any byte on, and how many at once. */
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DownloadLink, FirmwareContent } from '../../api/firmware-ports.ts'
import { rangeOf } from '../../api/http/byte-range.ts'
import { createLinkCache, type LinkLimits } from '../../api/http/download-links.ts'
import { createDownloads, type DownloadLimits, type FirmwareDownloads } from '../../api/http/firmware-download.ts'
import { createFolderStore } from '../../infra/firmware/folder-store.ts'
import { createFirmware } from '../../infra/postgres/firmware.ts'
import { createReleaseKeys } from '../../infra/postgres/release-keys.ts'
import { registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { imageOf, manifestOf, newKeyPair, sha256Of, signManifest } from '../support/signed-firmware.ts'
import { until } from '../support/wait.ts'

const SIZE = 300_000
const UPDATE = '11111111-1111-4111-8111-111111111111'
const image = imageOf(SIZE)
const sha256 = sha256Of(image)
let folder: string
let server: Server
let downloads: FirmwareDownloads
/** By update. */
let links: Map<string, Partial<DownloadLink>>
let lookUps = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'castor-download-'))
  await store(image)
})
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(() => serve())
afterEach(() => {
  server.close()
  server.closeAllConnections()
})

async function store(content: Buffer): Promise<void> {
  await (await createFolderStore(folder).put([content] as never, content.length)).keep()
}

/** A server of its own with one link, that of UPDATE, with the key `secret`. Nothing is read before the gate is open. */
async function serve(limits: Partial<DownloadLimits> = {}, gate = Promise.resolve()): Promise<void> {
  server?.close()
  server?.closeAllConnections()
  links = new Map([[UPDATE, {}]])
  lookUps = 0
  const usual = {
    tenant: 'demo',
    key: 'secret',
    until: Date.now() + 60_000,
    isOver: false,
    sha256,
    size: SIZE,
    problem: null,
    rollout: null,
  }
  const files = createFolderStore(folder)
  downloads = createDownloads({
    store: { ...files, open: async (...asked) => gated(await files.open(...asked), gate) },
    find: async (update) => {
      lookUps++
      const link = links.get(update)
      return link && { ...usual, bytesPerSecond: null, ...link }
    },
    log: pino({ level: 'silent' }),
    limits,
  })
  server = createAdaptorServer({ fetch: downloads.app.fetch }) as Server
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1_000 }, resolve))
}

function gated(content: FirmwareContent | undefined, gate: Promise<void>): FirmwareContent | undefined {
  return content && { read: () => gate.then(() => content.read()), close: () => content.close() }
}

function urlOf({ update = UPDATE, key = 'secret', hash = sha256 } = {}): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/device/v1/firmware/${hash}?update=${update}&key=${key}`
}

async function get(headers: Record<string, string> = {}, url = urlOf(), method = 'GET') {
  const response = await fetch(url, { method, headers: { 'accept-encoding': 'identity', ...headers } })
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) }
}

describe('the header Range', () => {
  const cases: Array<[header: string | undefined, gives: ReturnType<typeof rangeOf>]> = [
    [undefined, undefined],
    ['bytes=0-', { first: 0, last: 99 }],
    ['bytes=0-0', { first: 0, last: 0 }],
    ['bytes=99-', { first: 99, last: 99 }],
    ['bytes=10-19', { first: 10, last: 19 }],
    ['BYTES=10-1000000000000000000000', { first: 10, last: 99 }],
    ['bytes=-1', { first: 99, last: 99 }],
    ['bytes=-100', { first: 0, last: 99 }],
    ['bytes=-101', { first: 0, last: 99 }],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=100-200', 'unsatisfiable'],
    // What is no range, or more than one, is answered with the whole.
    ['bytes=5-4', undefined],
    ['bytes=-', undefined],
    ['bytes=1-2,4-5', undefined],
    ['bytes=a-b', undefined],
    ['bytes', undefined],
    ['lines=1-2', undefined],
  ]
  for (const [header, gives] of cases)
    test(`${header} of 100 bytes`, () => {
      expect(rangeOf(header, 100)).toEqual(gives)
    })
})

describe('a download', () => {
  test('is the artifact, with what a cache and a device need to know of it', async () => {
    const { status, headers, body } = await get()
    expect(status).toBe(200)
    expect(body.equals(image)).toBe(true)
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-length': String(SIZE),
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'cache-control': 'public, max-age=31536000, immutable',
      etag: `"${sha256}"`,
    })
    await until(() => downloads.underway === 0, 'its place is free again')
  })

  test('goes on at any byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: SIZE - 1 }), fc.option(fc.nat({ max: SIZE - 1 })), async (one, two) => {
        const [first, last] = two === null ? [one, SIZE - 1] : [Math.min(one, two), Math.max(one, two)]
        const { status, headers, body } = await get({ range: `bytes=${first}-${two === null ? '' : last}`, 'if-range': `"${sha256}"` })
        expect(status).toBe(206)
        expect(headers.get('content-range')).toBe(`bytes ${first}-${last}/${SIZE}`)
        expect(headers.get('content-length')).toBe(String(last - first + 1))
        expect(body.equals(image.subarray(first, last + 1))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('that breaks off again and again is whole in the end', async () => {
    let seed = 1
    const parts: Buffer[] = []
    let have = 0
    for (let request = 0; have < SIZE; request++) {
      expect(request).toBeLessThan(100)
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      const wanted = 1 + (seed % 60_000)
      const response = await fetch(urlOf(), { headers: { range: `bytes=${have}-` } })
      const reader = response.body!.getReader()
      for (let got = 0; got < wanted; ) {
        const { value } = await reader.read()
        if (!value) break
        parts.push(Buffer.from(value))
        got += value.length
        have += value.length
      }
      await reader.cancel()
    }
    expect(Buffer.concat(parts).equals(image)).toBe(true)
    await until(() => downloads.underway === 0, 'all places are free again')
  })

  test('of the last bytes alone, and of more than there are', async () => {
    expect((await get({ range: 'bytes=-10' })).body.equals(image.subarray(-10))).toBe(true)
    const beyond = await get({ range: `bytes=${SIZE}-` })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${SIZE}`])
    expect(JSON.parse(beyond.body.toString())).toMatchObject({ code: 'range-not-satisfiable' })
    expect(beyond.headers.get('cache-control')).toBe('no-store')
  })

  test('is begun anew where the client has begun with another content', async () => {
    for (const tag of ['"another"', `W/"${sha256}"`, 'Wed, 21 Oct 2015 07:28:00 GMT']) {
      const { status, body } = await get({ range: 'bytes=10-', 'if-range': tag })
      expect([tag, status, body.length]).toEqual([tag, 200, SIZE])
    }
  })

  test('is not sent to who has it, and HEAD sends nothing but how much it is', async () => {
    expect((await get({ 'if-none-match': `"x", "${sha256}"` })).status).toBe(304)
    expect((await get({ 'if-none-match': '"x"' })).status).toBe(200)
    const head = await get({ range: 'bytes=0-9' }, urlOf(), 'HEAD')
    expect([head.status, head.headers.get('content-length'), head.body.length]).toEqual([200, String(SIZE), 0])
    expect((await get({}, urlOf(), 'POST')).headers.get('allow')).toBe('GET, HEAD')
    expect(downloads.underway).toBe(0)
  })

  test('of an artifact that is not in the store is told so, and comes again', async () => {
    links.set(UPDATE, { sha256: 'f'.repeat(64) })
    const { status, headers, body } = await get({}, urlOf({ hash: 'f'.repeat(64) }))
    expect([status, headers.get('retry-after')]).toEqual([503, '60'])
    expect(body.toString()).toContain('not there right now')
    expect(downloads.underway).toBe(0)
  })
})

describe('a link', () => {
  const other = '22222222-2222-4222-8222-222222222222'
  const cases: Array<[what: string, link: Partial<DownloadLink>, asks: Parameters<typeof urlOf>[0], status: number, says: string]> = [
    ['with a wrong key', {}, { key: 'secreT' }, 403, 'not one that a job gave'],
    ['without a key', {}, { key: '' }, 403, 'not one that a job gave'],
    ['of an update that has no link', { key: null }, { key: '' }, 403, 'not one that a job gave'],
    ['of another device’s update', {}, { update: other }, 403, 'not one that a job gave'],
    ['of an update that is not there', {}, { update: '33333333-3333-4333-8333-333333333333' }, 403, 'not one that a job gave'],
    ['of what is no update', {}, { update: "' or true" }, 403, 'not one that a job gave'],
    ['that has expired', { until: Date.now() - 1 }, {}, 403, 'has expired'],
    ['of an update that has ended', { isOver: true }, {}, 403, 'its update has ended'],
    ['for another artifact', {}, { hash: 'a'.repeat(64) }, 404, 'is for another artifact'],
    ['to what was withdrawn', { problem: 'withdrawn' }, {}, 403, 'It was withdrawn.'],
    ['to what has expired', { problem: 'expired' }, {}, 403, 'Its manifest has expired.'],
    ['to what nobody has signed', { problem: 'unsigned' }, {}, 403, 'Nobody has signed it'],
    ['to what a revoked key has signed', { problem: 'key-revoked' }, {}, 403, 'was revoked'],
  ]
  for (const [what, link, asks, status, says] of cases)
    test(`${what} is refused`, async () => {
      links.set(UPDATE, link)
      links.set(other, { key: 'another secret' })
      for (const method of ['GET', 'HEAD']) {
        const answer = await get({}, urlOf(asks), method)
        expect(answer.status).toBe(status)
        if (method === 'GET') expect(JSON.parse(answer.body.toString()).detail).toContain(says)
      }
    })

  test('is looked up once for many requests, and anew after a while', async () => {
    await serve({ trustMs: 30 })
    await Promise.all(Array.from({ length: 20 }, () => get({ range: 'bytes=0-9' })))
    const first = lookUps
    expect(first).toBeLessThan(20)
    links.set(UPDATE, { isOver: true })
    await until(async () => (await get()).status === 403, 'the end of the update is noticed')
    expect(lookUps).toBeGreaterThan(first)
  })

  describe('that is made up', () => {
    const madeUp = (n: number) => `66666666-6666-4666-8666-${String(n).padStart(12, '0')}`
    const limits: LinkLimits = { trustMs: 60_000, lookUps: 2, lookUpsInLine: 3 }

    test('is looked up once in a while, too', async () => {
      await serve({ trustMs: 60_000 })
      for (let n = 0; n < 5; n++) expect((await get({}, urlOf({ update: madeUp(1) }))).status).toBe(403)
      expect(lookUps).toBe(1)
    })

    test('pushes none out that is known', async () => {
      let asked = 0
      const find = createLinkCache(async (update) => {
        asked++
        return update === UPDATE ? ({ key: 'secret' } as DownloadLink) : undefined
      }, limits)
      await find(UPDATE)
      for (let n = 0; n < 20_001; n++) await find(madeUp(n))
      await find(madeUp(20_000))
      await find(UPDATE)
      expect(asked).toBe(20_002)
      await find(madeUp(0))
      expect(asked, 'the oldest is forgotten').toBe(20_003)
    })

    test('stands in line with all others, and is sent away where the line is full; the line goes on after a failure', async () => {
      const gates: Array<PromiseWithResolvers<undefined>> = []
      const find = createLinkCache(() => {
        const gate = Promise.withResolvers<undefined>()
        gates.push(gate)
        return gate.promise
      }, limits)
      const five = Promise.allSettled([1, 2, 3, 4, 5].map((n) => find(madeUp(n))))
      expect(gates).toHaveLength(2)
      const away = { code: 'unavailable', retryAfterSeconds: expect.any(Number) }
      await expect(find(madeUp(6))).rejects.toMatchObject(away)
      const again = find(madeUp(5))
      gates[0]!.reject(new Error('connection lost'))
      await until(() => gates.length === 3, 'the next one is looked up')
      const seventh = find(madeUp(7))
      await expect(find(madeUp(8))).rejects.toMatchObject(away)
      gates[1]!.resolve(undefined)
      for (let n = 2; n < 6; n++) {
        await until(() => gates.length > n, 'the next one is looked up')
        gates[n]!.resolve(undefined)
      }
      expect((await five).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'])
      expect(await Promise.all([again, seventh])).toEqual([undefined, undefined])
      expect(gates).toHaveLength(6)
    })
  })
})

describe('bounds', () => {
  const updates = Array.from({ length: 500 }, (_, i) => `44444444-4444-4444-8444-${String(i).padStart(12, '0')}`)

  test('500 at once all come to their end, some later', async () => {
    const gate = Promise.withResolvers<void>()
    await serve({ atOnce: 100 }, gate.promise)
    for (const update of updates) links.set(update, {})
    let refused = 0
    const done = await Promise.all(
      updates.map(async (update, i) => {
        const first = i * 500
        while (true) {
          const { status, headers, body } = await get({ range: `bytes=${first}-` }, urlOf({ update }))
          if (status === 206) return body.equals(image.subarray(first))
          expect([status, Number(headers.get('retry-after')) >= 5]).toEqual([503, true])
          refused++
          // Those that have a place keep it until all others were refused.
          if (refused === 400) gate.resolve()
          await gate.promise
          await until(() => downloads.underway < 100, 'there is a place')
        }
      }),
    )
    expect(done.every(Boolean)).toBe(true)
    await until(() => downloads.underway === 0, 'all places are free again')
  })

  describe('for a client that takes nothing', () => {
    // More than the system takes for it.
    const big = imageOf(30_000_000)
    const link = { sha256: sha256Of(big), size: big.length }
    const url = () => urlOf({ hash: link.sha256 })
    beforeAll(() => store(big))

    function idleClient(of = url()): Socket {
      const { host, pathname, search, port } = new URL(of)
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`GET ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
      return socket.pause()
    }

    test('one device does not take the places of all', async () => {
      await serve({ ofOneUpdate: 2 })
      links.set(UPDATE, link)
      const clients = [idleClient(), idleClient()]
      await until(() => downloads.underway === 2, 'both are under way')
      const third = await get({}, url())
      expect([third.status, third.headers.has('retry-after')]).toEqual([503, true])
      for (const client of clients) client.destroy()
      await until(() => downloads.underway === 0, 'their places are free again')
      expect((await get({ range: 'bytes=0-9' }, url())).status).toBe(206)
    })

    test('one tenant does not take the places of all', async () => {
      await serve({ atOnce: 3, ofOneTenant: 2 })
      const [one, two, three, other] = updates as [string, string, string, string]
      for (const update of [one, two, three]) links.set(update, { ...link, tenant: 'greedy' })
      links.set(other, { ...link, tenant: 'modest' })
      const clients = [one, two].map((update) => idleClient(urlOf({ update, hash: link.sha256 })))
      await until(() => downloads.underway === 2, 'both are under way')
      const [third, its] = await Promise.all(
        [three, other].map((update) => get({ range: 'bytes=0-9' }, urlOf({ update, hash: link.sha256 }))),
      )
      expect([third!.status, its!.status]).toEqual([503, 206])
      for (const client of clients) client.destroy()
      await until(() => downloads.underway === 0, 'their places are free again')
      expect((await get({ range: 'bytes=0-9' }, urlOf({ update: three, hash: link.sha256 }))).status).toBe(206)
    })

    test('it does not wait for ever', async () => {
      await serve({ stallMs: 50 })
      links.set(UPDATE, link)
      const client = idleClient()
      await until(() => downloads.underway === 1, 'it is under way')
      await until(() => downloads.underway === 0, 'its place is free again')
      client.destroy()
    })
  })

  test('a rollout has so many bytes a second, whoever downloads; another has its own', async () => {
    const bytesPerSecond = 200_000
    for (const [i, update] of updates.slice(0, 3).entries()) links.set(update, { rollout: i < 2 ? 'one' : 'two', bytesPerSecond })
    const start = performance.now()
    const ended = await Promise.all(
      updates.slice(0, 3).map(async (update) => {
        expect((await get({}, urlOf({ update }))).body.equals(image)).toBe(true)
        return performance.now() - start
      }),
    )
    // A second's worth goes at once, and the last piece is made good later.
    const least = (bytes: number) => ((bytes - bytesPerSecond - 65_536) / bytesPerSecond) * 1000
    expect(Math.max(ended[0]!, ended[1]!)).toBeGreaterThan(least(2 * SIZE))
    expect(ended[2]).toBeGreaterThan(least(SIZE))
    expect(ended[2]).toBeLessThan(Math.max(ended[0]!, ended[1]!))
  })

  test('who goes away while it waits for its turn leaves it to others', async () => {
    const slow = { rollout: 'slow', bytesPerSecond: 70_000 }
    for (const update of updates.slice(0, 20)) links.set(update, slow)
    const gone = new AbortController()
    const left = updates.slice(0, 19).map((update) =>
      fetch(urlOf({ update }), { signal: gone.signal }).then(
        (answer) => answer.arrayBuffer(),
        () => {},
      ),
    )
    await until(() => downloads.underway === 19, 'they wait')
    gone.abort()
    await Promise.allSettled(left)
    await until(() => downloads.underway === 0, 'they have gone')
    const start = performance.now()
    expect((await get({ range: 'bytes=0-70000' }, urlOf({ update: updates[19]! }))).status).toBe(206)
    // All 20 would need some 18 s.
    expect(performance.now() - start).toBeLessThan(9_000)
  })
})

describe('on a bridge', () => {
  let database: TestDatabase
  let bridge: TestBridge
  let device: TestDevice
  let firmware: string
  const key = newKeyPair()

  beforeAll(async () => {
    database = await testDatabase()
    device = await registerDevice(database, 't-1')
    await createReleaseKeys(database.sql).insert('demo', { id: key.id, name: 'ci', publicKey: key.pem })
    const manifest = manifestOf(image)
    firmware = '55555555-5555-4555-8555-555555555555'
    const { name, model, version, counter, size } = manifest
    const envelope = JSON.stringify(signManifest(manifest, key))
    const values = { name, model, version, counter, size, sha256, manifest: JSON.stringify(manifest), signature: { envelope, key: key.id } }
    await createFirmware(database.sql).insert({ ...values, id: firmware, tenant: 'demo', expiresAt: null, notes: '', createdBy: 'test' })
    const data = join(folder, 'data')
    await (await createFolderStore(join(data, 'firmware')).put([image] as never, SIZE)).keep()
    bridge = await startTestBridge(database.url, {}, { CASTOR_DATA_DIR: data })
  })
  afterAll(async () => {
    await bridge?.stop()
    await database?.drop()
  })

  /** An update as the decision that lets it go leaves it. */
  async function released(of: TestDevice, spec?: object): Promise<string> {
    const { sql } = database
    const [row] = await sql<[{ id: string }]>`
      insert into updates (id, tenant, incarnation, device, firmware, kind, requested_by, attempt, job, link, until, link_until)
      values (gen_random_uuid(), 'demo', ${of.incarnation}, ${of.device}, ${firmware}, 'install', 'test', 1, '{}', 'key-' || ${of.device},
        now() + interval '1 minute', now() + interval '2 minutes') returning id`
    if (spec) {
      await sql`
        insert into rollouts (id, tenant, name, firmware, spec, requested_by)
        values (${row.id}, 'demo', 'r', ${firmware}, ${JSON.stringify(spec)}, 'test')`
      await sql`update updates set rollout = id where id = ${row.id}`
    }
    return row.id
  }

  const download = (update: string, linkKey: string, headers: Record<string, string> = {}) =>
    get(headers, `${bridge.url}/device/v1/firmware/${sha256}?update=${update}&key=${linkKey}`)

  test('a device gets its artifact by the link of its update, and by that of no other device', async () => {
    const other = await registerDevice(database, 't-2')
    const [mine, its] = [await released(device), await released(other)]
    expect((await download(mine, 'key-t-1')).body.equals(image)).toBe(true)
    expect((await download(mine, 'key-t-1', { range: 'bytes=7-' })).body.equals(image.subarray(7))).toBe(true)
    expect((await download(its, 'key-t-1')).status).toBe(403)
    expect((await download(mine, 'key-t-2')).status).toBe(403)
    expect((await download(its, 'key-t-2')).status).toBe(200)
  })

  test('a link ends with its time, its update, its device, its attempt and its artifact', async () => {
    const { sql } = database
    const ends: Record<string, (update: string, of: TestDevice) => Promise<unknown>> = {
      time: (update) => sql`update updates set link_until = now() where id = ${update}`,
      update: (update) => sql`update updates set ended_at = now(), status = 'cancelled' where id = ${update}`,
      attempt: (update) => sql`update updates set link = 'another' where id = ${update}`,
      job: (update) => sql`update updates set link = null, job = null where id = ${update}`,
      device: (_, { incarnation }) => sql`delete from devices where incarnation = ${incarnation}`,
    }
    const withdrawn = () => sql`update firmware set withdrawn_at = now() where id = ${firmware}`
    const ended = async ([what, end]: [string, (typeof ends)[string]]) => {
      const of = await registerDevice(database, `of-${what}`)
      const update = await released(of)
      expect((await download(update, `key-of-${what}`)).status, what).toBe(200)
      await end(update, of)
      await until(async () => (await download(update, `key-of-${what}`)).status === 403, `the link ends with its ${what}`)
    }
    await Promise.all(Object.entries(ends).map(ended))
    await ended(['artifact', withdrawn])
    await sql`update firmware set withdrawn_at = null where id = ${firmware}`
  })

  test('the rate of its rollout holds', async () => {
    const update = await released(device, { downloadBytesPerSecond: 200_000, other: 1 })
    const start = performance.now()
    expect((await download(update, 'key-t-1')).body.equals(image)).toBe(true)
    expect(performance.now() - start).toBeGreaterThan(150)
  })
})
