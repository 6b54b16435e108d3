/** Firmware over REST: what is taken in, and what is refused. */
import { sign } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readParts } from '../../api/http/multipart.ts'
import { unnamedImages, usableProblemSql } from '../../infra/postgres/firmware.ts'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import { usableProblem } from '../../twin-models/firmware/usable.ts'
import { imageOf, type KeyPair, newKeyPair, manifestOf as plainManifestOf, sha256Of, signManifest } from '../support/signed-firmware.ts'
import { until } from '../support/wait.ts'
import { type Answer, allItems, DEMO_KEY, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { trustedKey } from './test-firmware.ts'

let api: TestApi
let key: KeyPair
const image = imageOf()
let versions = 0

beforeAll(async () => {
  api = await testApi()
  key = await trustedKey(api)
})
afterAll(() => api.database.drop())

/** In this order. */
type Parts = Array<[name: string, content: unknown]>

async function send(parts: Parts, tenantKey = DEMO_KEY): Promise<Answer> {
  const body = new FormData()
  for (const [name, content] of parts) {
    if (content instanceof Uint8Array) body.append(name, new Blob([content as Uint8Array<ArrayBuffer>]), 'image.bin')
    else body.append(name, typeof content === 'string' ? content : JSON.stringify(content))
  }
  const response = await api.app.request('/v1/firmware', { method: 'POST', body, headers: { authorization: `Bearer ${tenantKey}` } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) }
}

function upload(manifest: unknown, content: Uint8Array = image, tenantKey = DEMO_KEY): Promise<Answer> {
  return send(
    [
      ['manifest', manifest],
      ['file', content],
    ],
    tenantKey,
  )
}

/** With a counter of its own for each version. */
function manifestOf(content: Uint8Array, changes: Partial<Manifest> = {}): Manifest {
  return plainManifestOf(content, { counter: 100 + versions, ...changes })
}

function nextVersion(): string {
  versions++
  return `9.0.${versions}`
}

/** What lies in the store, uploads under way included. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(join(folder, 'firmware'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

describe('an upload', () => {
  test('that is signed can be used, looked at, and read byte for byte', async () => {
    const manifest = manifestOf(image, { version: nextVersion(), expires: '2100-01-01T00:00:00Z' })
    const envelope = signManifest(manifest, key)
    const made = await send([
      ['notes', 'quieter'],
      ['manifest', envelope],
      ['file', image],
    ])
    expect(made.status).toBe(201)
    expect(made.json).toMatchObject({ manifest, usable: true, key: key.id, notes: 'quieter', createdBy: 'admin', sha256: sha256Of(image) })
    expect(made.json.problem).toBeUndefined()
    const location = made.headers.get('location')!
    const found = await api.ask('GET', location)
    expect(found.json).toEqual({ ...made.json, envelope })
    const content = await api.app.request(`${location}/content`, { headers: { authorization: `Bearer ${DEMO_KEY}` } })
    expect(Buffer.from(await content.arrayBuffer()).equals(image)).toBe(true)
    expect(content.headers.get('content-length')).toBe(String(image.length))
  })

  test('of members that this version does not know keeps them, as they were signed', async () => {
    const manifest = { ...manifestOf(image, { version: nextVersion() }), delta: { from: 'abc' } }
    const { json } = await upload(signManifest(manifest, key))
    expect(json.manifest).toEqual(manifest)
  })

  test('of the very same again changes nothing', async () => {
    const manifest = manifestOf(image, { version: nextVersion() })
    const envelope = signManifest(manifest, key)
    const first = await upload(envelope)
    const again = await upload(envelope)
    expect([first.status, again.status]).toEqual([201, 200])
    expect(again.json).toEqual(first.json)
    // Unsigned, it is still that one; the signature stays.
    expect((await upload(manifest)).json).toEqual(first.json)
  })

  test('by many at once is one artifact', async () => {
    const envelope = signManifest(manifestOf(image, { version: nextVersion() }), key)
    const answers = await Promise.all([upload(envelope), upload(envelope), upload(envelope)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 201])
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1)
  })

  test('of an image that is there under another version keeps both', async () => {
    const shared = imageOf()
    const one = await upload(signManifest(manifestOf(shared, { version: nextVersion() }), key), shared)
    const two = await upload(signManifest(manifestOf(shared, { version: nextVersion() }), key), shared)
    expect([one.status, two.status]).toEqual([201, 201])
    expect((await filesOf(api.folder)).filter((name) => name === sha256Of(shared))).toHaveLength(1)
  })

  test('with the manifest as a file among the parts is taken too', async () => {
    const envelope = signManifest(manifestOf(image, { version: nextVersion() }), key)
    const answer = await send([
      ['manifest', Buffer.from(JSON.stringify(envelope))],
      ['file', image],
    ])
    expect(answer.status).toBe(201)
  })

  test('of a tenant is none of another', async () => {
    const { json } = await upload(signManifest(manifestOf(image, { version: nextVersion() }), key))
    for (const path of ['', '/content'])
      expect((await api.ask('GET', `/v1/firmware/${json.id}${path}`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('POST', `/v1/firmware/${json.id}/withdraw`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/firmware', { key: OTHER_KEY })).json.items).toEqual([])
  })
})

describe('is refused, and leaves nothing behind:', () => {
  const other = imageOf()
  const fresh = (changes = {}) => manifestOf(image, { version: nextVersion(), ...changes })
  const cases: Array<[what: string, parts: () => Parts | Promise<Parts>, status: number, says: RegExp]> = [
    ['a swapped artifact of the same size', () => pair(signManifest(fresh(), key), other), 400, /is not what its manifest names/],
    ['a truncated artifact', () => pair(signManifest(fresh(), key), image.subarray(1)), 400, /has 999 bytes, and its manifest names 1000/],
    ['a longer artifact', () => pair(signManifest(fresh(), key), Buffer.concat([image, image])), 413, /larger than the 1000 bytes/],
    [
      'a manifest that was changed after it was signed',
      () => pair(altered(signManifest(fresh(), key)), image),
      403,
      /not one of the release key/,
    ],
    ['a signature by a key that nobody knows', () => pair(signManifest(fresh(), newKeyPair()), image), 403, /No release key .* is known/],
    [
      'a signature by a key of another tenant',
      async () => pair(signManifest(fresh(), await trustedKey(api, OTHER_KEY)), image),
      403,
      /No release key/,
    ],
    ['a signature by a revoked key', async () => pair(signManifest(fresh(), await revoked()), image), 403, /was revoked/],
    [
      'a key id with the signature of another key',
      async () => pair(mixed(fresh(), await trustedKey(api)), image),
      403,
      /not one of the release/,
    ],
    [
      'a signature of another kind of statement',
      () => pair({ ...signManifest(fresh(), key, 'application/x-other'), payloadType: signManifest(fresh(), key).payloadType }, image),
      403,
      /not one of the release key/,
    ],
    ['a statement of another type', () => pair(signManifest(fresh(), key, 'application/x-other'), image), 400, /payloadType must be/],
    ['a payload that is not canonical', () => pair(notCanonical(fresh()), image), 400, /is not canonical JSON/],
    ['a manifest that has expired', () => pair(signManifest(fresh({ expires: '2026-01-02T00:00:00Z' }), key), image), 400, /has expired/],
    [
      'a model that there is none of',
      () => pair(signManifest(fresh({ model: 'toaster' }), key), image),
      400,
      /no model 'toaster'; there are lock/,
    ],
    ['a manifest that lacks something', () => pair(signManifest({ ...fresh(), counter: 0 }, key), image), 400, /\/counter/],
    ['an artifact beyond the bound', () => pair(signManifest(fresh({ size: 2 ** 31 }), key), image), 413, /may have 1073741824 bytes/],
    ['a manifest that is no JSON', () => pair('{', image), 400, /The manifest is not JSON/],
    ['a file before its manifest', () => pair(fresh(), image).reverse(), 400, /manifest has to come before/],
    ['a manifest without a file', () => [['manifest', fresh()]], 400, /The part file is missing/],
    ['a file without a manifest', () => [['notes', 'x']], 400, /The part manifest is missing/],
    [
      'a part that is not known',
      () => [
        ['manifest', fresh()],
        ['extra', 'x'],
      ],
      400,
      /"extra" is not known/,
    ],
    ['a second file', () => [...pair(fresh(), image), ['file', other]], 400, /"file" is not known, or is there twice/],
    ['too many parts', () => [...pair(fresh(), image), ['notes', ''], ['notes', '']], 400, /more than 3 parts/],
    ['endless notes', () => [['notes', 'x'.repeat(20_000)]], 413, /notes is larger/],
    ['notes that Postgres cannot keep', () => [['notes', 'a\0b'], ...pair(fresh(), image)], 400, /part notes holds U\+0000/],
  ]
  const pair = (manifest: unknown, file: Uint8Array): Parts => [
    ['manifest', manifest],
    ['file', file],
  ]

  for (const [what, parts, status, says] of cases)
    test(what, async () => {
      const before = (await filesOf(api.folder)).sort()
      const answer = await send(await parts())
      expect(answer.json.detail).toMatch(says)
      expect(answer.status).toBe(status)
      expect((await filesOf(api.folder)).sort()).toEqual(before)
      expect((await allItems(api, '/v1/firmware')).filter(({ version }) => version === `9.0.${versions}`)).toEqual([])
    })

  async function revoked(): Promise<KeyPair> {
    const made = await trustedKey(api)
    expect((await api.ask('DELETE', `/v1/release-keys/${made.id}`)).status).toBe(204)
    return made
  }

  function altered(envelope: ReturnType<typeof signManifest>) {
    const text = Buffer.from(envelope.payload, 'base64').toString()
    return { ...envelope, payload: Buffer.from(text.replace(/"counter":\d+/, '"counter":99')).toString('base64') }
  }

  function mixed(manifest: object, second: KeyPair) {
    const envelope = signManifest(manifest, second)
    return { ...envelope, signatures: [{ ...envelope.signatures[0], keyid: key.id }] }
  }

  function notCanonical(manifest: object) {
    // As a careless signer does it: signed is what stands there, in any order.
    const text = JSON.stringify({ zeta: 1, ...manifest })
    const { payloadType } = signManifest({}, key)
    const bytes = Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${Buffer.byteLength(text)} ${text}`)
    const sig = sign(null, bytes, key.privateKey).toString('base64')
    return { payloadType, payload: Buffer.from(text).toString('base64'), signatures: [{ keyid: key.id, sig }] }
  }
})

describe('a version is one artifact for ever:', () => {
  test('other bytes under it are refused before they are read', async () => {
    const version = nextVersion()
    await upload(signManifest(manifestOf(image, { version }), key))
    const other = imageOf()
    const answer = await upload(signManifest(manifestOf(other, { version }), key), other)
    expect([answer.status, answer.json.code]).toEqual([409, 'conflict'])
    expect(answer.json.detail).toContain(`with other bytes (SHA-256 ${sha256Of(image)})`)
  })

  test('another manifest for the same bytes is refused', async () => {
    const version = nextVersion()
    await upload(signManifest(manifestOf(image, { version }), key))
    const answer = await upload(signManifest(manifestOf(image, { version, rollbackTo: ['1.0.0'] }), key))
    expect(answer.json).toMatchObject({ status: 409, detail: expect.stringContaining('another manifest') })
  })

  test('of two with one counter at the same time one is refused', async () => {
    const [one, two] = [nextVersion(), nextVersion()]
    const counter = 5_000 + versions
    const answers = await Promise.all([one, two].map((version) => upload(signManifest(manifestOf(image, { version, counter }), key))))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
    expect(answers.find(({ status }) => status === 409)!.json.detail).toContain(`has the counter ${counter} already`)
  })

  test('another one with its counter is refused, which says of what release it is; that of another line is not', async () => {
    const version = nextVersion()
    const { counter } = manifestOf(image, { version })
    await upload(signManifest(manifestOf(image, { version }), key))
    const { status, json } = await upload(signManifest(manifestOf(image, { version: nextVersion(), counter }), key))
    expect([status, json.detail]).toEqual([
      409,
      expect.stringContaining(`Firmware thermostat ${version} has the counter ${counter} already`),
    ])
    const other = manifestOf(image, { name: 'thermostat-radio', version: nextVersion(), counter })
    expect((await upload(signManifest(other, key))).status).toBe(201)
  })

  test('an older release, sent again, is still what it was, and a newer one is not touched', async () => {
    const [older, newer] = [nextVersion(), nextVersion()]
    const envelope = signManifest(manifestOf(image, { version: older, counter: 1 }), key)
    await upload(envelope)
    const { json } = await upload(signManifest(manifestOf(image, { version: newer, counter: 2 }), key))
    expect((await upload(envelope)).json).toMatchObject({ version: older, counter: 1 })
    expect((await api.ask('GET', `/v1/firmware/${json.id}`)).json).toMatchObject({ version: newer, counter: 2 })
  })
})

describe('a signature', () => {
  test('can follow the upload, of the same manifest alone', async () => {
    const manifest = manifestOf(image, { version: nextVersion() })
    const { json } = await upload(manifest)
    expect(json).toMatchObject({ usable: false, problem: { code: 'unsigned' } })
    const path = `/v1/firmware/${json.id}/signature`
    const foreign = await api.ask('PUT', path, { body: signManifest({ ...manifest, counter: 2 }, key) })
    expect(foreign.json).toMatchObject({ status: 409, detail: expect.stringContaining('another manifest') })
    expect((await api.ask('PUT', path, { body: signManifest(manifest, newKeyPair()) })).status).toBe(403)

    const envelope = signManifest(manifest, key)
    const answer = await api.ask('PUT', path, { body: envelope })
    expect(answer.json).toMatchObject({ usable: true, key: key.id, envelope })
    expect((await api.ask('PUT', path, { body: envelope })).status).toBe(200)
    expect((await api.ask('PUT', path, { body: signManifest(manifest, await trustedKey(api)) })).json).toMatchObject({ status: 409 })
  })

  test('comes with a second upload too', async () => {
    const manifest = manifestOf(image, { version: nextVersion() })
    await upload(manifest)
    const answer = await upload(signManifest(manifest, key))
    expect([answer.status, answer.json.usable]).toEqual([200, true])
  })

  test('of a revoked key no longer counts, until another key signs', async () => {
    const lost = await trustedKey(api)
    const manifest = manifestOf(image, { version: nextVersion() })
    const { json } = await upload(signManifest(manifest, lost))
    await api.ask('DELETE', `/v1/release-keys/${lost.id}`)
    expect((await api.ask('GET', `/v1/firmware/${json.id}`)).json).toMatchObject({ usable: false, problem: { code: 'key-revoked' } })
    const again = await api.ask('PUT', `/v1/firmware/${json.id}/signature`, { body: signManifest(manifest, key) })
    expect(again.json).toMatchObject({ usable: true, key: key.id })
  })
})

test('what is withdrawn stays so, and is still there to be looked at', async () => {
  const manifest = manifestOf(image, { version: nextVersion() })
  const { json } = await upload(signManifest(manifest, key))
  const first = await api.ask('POST', `/v1/firmware/${json.id}/withdraw`)
  expect(first.json).toMatchObject({ usable: false, problem: { code: 'withdrawn' }, withdrawnAt: expect.any(String) })
  expect((await api.ask('POST', `/v1/firmware/${json.id}/withdraw`)).json).toEqual(first.json)
  expect((await upload(signManifest(manifest, key))).json).toEqual(first.json)
})

test('an image is named by an artifact of any tenant, withdrawn or not; without any artifact none is said to be unnamed', async () => {
  const theirs = imageOf(2_000)
  await upload(manifestOf(image, { version: nextVersion() }))
  const { json } = await upload(manifestOf(theirs, { version: nextVersion() }), theirs, OTHER_KEY)
  await api.ask('POST', `/v1/firmware/${json.id}/withdraw`, { key: OTHER_KEY })
  const { sql } = api.database
  const asked = [sha256Of(image), 'f'.repeat(64), sha256Of(theirs)]
  expect(await unnamedImages(sql, asked)).toEqual(['f'.repeat(64)])
  const rolledBack = sql.begin(async (tx) => {
    await tx`delete from firmware`
    expect(await unnamedImages(tx, asked)).toEqual([])
    throw new Error('as it was')
  })
  await expect(rolledBack).rejects.toThrow('as it was')
})

test('the list is paged, newest first, and filtered by name and model', async () => {
  const ids: string[] = []
  for (const name of ['pump-a', 'pump-b', 'pump-a'])
    ids.unshift((await upload(signManifest(manifestOf(image, { name, model: 'pump', version: nextVersion() }), key))).json.id)
  expect((await allItems(api, '/v1/firmware?model=pump&limit=1')).map(({ id }) => id)).toEqual(ids)
  expect((await allItems(api, '/v1/firmware?name=pump-a')).map(({ id }) => id)).toEqual([ids[0], ids[2]])
  for (const query of ['name=%00', 'model=a%00b']) {
    const { status, json } = await api.ask('GET', `/v1/firmware?${query}`)
    expect([status, json.detail]).toEqual([400, expect.stringMatching(/query:(name|model): holds U\+0000/)])
  }
})

test('why an artifact is not usable is the same in SQL and in code, whatever is wrong with it', async () => {
  const { sql } = api.database
  const lost = await trustedKey(api)
  await api.ask('DELETE', `/v1/release-keys/${lost.id}`)
  const [past, future] = [new Date(Date.now() - 60_000), new Date(Date.now() + 60_000)]
  const seen = new Set<unknown>()
  for (const signer of [null, key.id, lost.id])
    for (const expires of [null, past, future])
      for (const withdrawn of [null, past]) {
        const { json } = await upload(manifestOf(image, { version: nextVersion() }))
        await sql`update firmware set key = ${signer}, expires_at = ${expires}, withdrawn_at = ${withdrawn} where id = ${json.id}`
        const [{ problem }] = await sql<[{ problem: string | null }]>`
          select ${sql.unsafe(usableProblemSql)} as problem from firmware f where id = ${json.id}`
        const trust = {
          key: signer,
          keyRevoked: signer === lost.id,
          expiresAt: expires?.getTime() ?? null,
          withdrawnAt: withdrawn?.getTime() ?? null,
        }
        expect(problem).toBe(usableProblem(trust, Date.now()) ?? null)
        const shown = (await allItems(api, '/v1/firmware')).find(({ id }) => id === json.id)
        expect(shown.problem?.code ?? null).toBe(problem)
        seen.add(problem)
      }
  expect([...seen].sort()).toEqual(['expired', 'key-revoked', 'unsigned', 'withdrawn', null].sort())
})

describe('over the network', () => {
  test('an endless upload is answered and cut off, and nothing of it stays', async () => {
    const server = createAdaptorServer({ fetch: api.app.fetch })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    try {
      const before = (await filesOf(api.folder)).sort()
      const manifest = JSON.stringify(signManifest(manifestOf(image, { version: nextVersion() }), key))
      const part = (name: string) => `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n`
      socket.write(
        `POST /v1/firmware HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${DEMO_KEY}\r\ntransfer-encoding: chunked\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n`,
      )
      const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
      socket.write(chunk(`${part('manifest')}${manifest}\r\n${part('file')}`))
      const endless = chunk('x'.repeat(10_000))
      let isOpen = true
      let answer = ''
      socket.on('data', (data) => (answer += data))
      socket.on('error', () => {})
      socket.on('close', () => (isOpen = false))
      const feed = () => {
        while (isOpen && socket.write(endless));
      }
      socket.on('drain', feed)
      feed()
      await until(() => !isOpen, 'the connection is cut off')
      expect(answer).toMatch(/^HTTP\/1.1 413 /)
      await until(async () => (await filesOf(api.folder)).length === before.length, 'the file is gone')
      expect((await filesOf(api.folder)).sort()).toEqual(before)
    } finally {
      socket.destroy()
      server.close()
    }
  })

  const text =
    '--x\r\ncontent-disposition: form-data; name="manifest"\r\n\r\n{}\r\n--x\r\ncontent-disposition: form-data; name="file"\r\n\r\nbytes\r\n--x--\r\n'

  async function partsIn(body: string | ReadableStream, limits = {}): Promise<string[]> {
    const headers = { 'content-type': 'multipart/form-data; boundary=x' }
    const request = new Request('http://x', { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
    const parts: string[] = []
    for await (const { name, content } of readParts(request, { parts: 3, bytes: 1_000, stallMs: 1_000, ...limits })) {
      const chunks: Uint8Array[] = []
      for await (const chunk of content) chunks.push(chunk)
      parts.push(`${name}=${Buffer.concat(chunks)}`)
    }
    return parts
  }

  test('an upload that is cut off, at any byte, is refused', async () => {
    expect(await partsIn(text)).toEqual(['manifest={}', 'file=bytes'])
    // The last line end says nothing more.
    for (let length = 0; length < text.length - 2; length++)
      await expect(partsIn(text.slice(0, length)), `${length}`).rejects.toThrow(/not whole multipart/)
  })

  test('an upload that stands still is given up', async () => {
    const still = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from(text.slice(0, 90))) })
    await expect(partsIn(still, { stallMs: 20 })).rejects.toThrow(/nothing came for 0.02 s/)
  })

  test('what comes before the first part or after the last is bounded as well', async () => {
    const much = 'x'.repeat(2_000)
    await expect(partsIn(`${much}\r\n${text}`)).rejects.toThrow(/larger than 1000 bytes/)
    await expect(partsIn(text + much)).rejects.toThrow(/larger than 1000 bytes/)
  })
})
