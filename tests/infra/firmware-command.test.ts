/** `npm run firmware`, as it is typed: from a key to an image that Castor has. */
import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEMO_KEY, type TestApi, testApi } from '../api/test-api.ts'
import { imageOf, sha256Of } from '../support/signed-firmware.ts'

const ENTRY = join(import.meta.dirname, '../../infra/firmware/main.ts')
const image = imageOf(200_000)
let folder: string
let api: TestApi
let server: Server

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'castor-command-'))
  await writeFile(join(folder, 'image.bin'), image)
  api = await testApi()
  server = createAdaptorServer({ fetch: api.app.fetch }) as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  server?.close()
  server?.closeAllConnections()
  await api?.database.drop()
  await rm(folder, { recursive: true, force: true })
})

/** In the folder, by words. */
function firmware(words: string, env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const environment = { ...process.env, CASTOR_PUBLIC_URL: url, CASTOR_ADMIN_KEY: DEMO_KEY, ...env }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [ENTRY, ...words.split(' ')], { cwd: folder, env: environment }, (_, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })
}

const SIGN = 'sign image.bin --key keys/release.key --model thermostat --version 1.3.0 --counter 7'

test('from a key to an image that can be rolled out', async () => {
  expect(await firmware('keygen --out keys')).toMatchObject({ code: 0, err: '' })
  expect((await stat(join(folder, 'keys/release.key'))).mode & 0o777).toBe(0o600)
  const before = await readFile(join(folder, 'keys/release.key'), 'utf8')
  expect(await firmware('keygen --out keys')).toMatchObject({ code: 1, err: 'keys/release.key: it is there already.\n' })
  expect(await readFile(join(folder, 'keys/release.key'), 'utf8')).toBe(before)

  const options = '--hardware rev-a,rev-b --from 1.1.0,1.2.0 --min-battery 40 --free-bytes 500000 --rollback-to 1.2.0 --expires 365d'
  const signed = await firmware(`${SIGN} ${options}`)
  expect(signed).toMatchObject({ code: 0, err: '' })
  expect(signed.out).toContain(`image.bin.manifest.json: thermostat 1.3.0, 200000 bytes, SHA-256 ${sha256Of(image)}`)
  const verified = await firmware('verify image.bin --key keys/release.pub')
  expect(verified.out).toMatch(/^image.bin is thermostat 1.3.0, release 7, signed by [0-9a-f]{32}\n$/)

  const early = await firmware('upload image.bin')
  expect(early).toMatchObject({ code: 1, out: '' })
  expect(early.err).toMatch(/^Castor refused it with status 403: No release key [0-9a-f]{32} is known here/)
  expect((await firmware('trust keys/release.pub --name laptop')).out).toMatch(/^[0-9a-f]{32} \(laptop\) is trusted\n$/)
  const uploaded = await firmware('upload image.bin --notes quieter')
  expect(uploaded).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^[0-9a-f-]{36}: uploaded\n$/) })
  expect((await firmware('upload image.bin')).out).toBe(uploaded.out.replace('uploaded', 'was there already'))

  const { json } = await api.ask('GET', `/v1/firmware/${uploaded.out.slice(0, 36)}`)
  expect(json).toMatchObject({ usable: true, notes: 'quieter', expiresAt: expect.any(String) })
  expect(json.manifest).toMatchObject({
    ...{ name: 'thermostat', model: 'thermostat', version: '1.3.0', counter: 7, hardware: ['rev-a', 'rev-b'], rollbackTo: ['1.2.0'] },
    prerequisites: { from: ['1.1.0', '1.2.0'], minBattery: 40, freeBytes: 500_000 },
  })
})

test('after its key was revoked the same manifest is signed by another one, and the version can be used again', async () => {
  await firmware('keygen --out next')
  const { json: keys } = await api.ask('GET', '/v1/release-keys')
  await api.ask('DELETE', `/v1/release-keys/${keys.items[0].id}`)
  await firmware('trust next/release.pub --name safe')
  expect(await firmware('upload image.bin')).toMatchObject({ code: 1, err: expect.stringContaining('was revoked') })
  const before = await manifestIn('image.bin.manifest.json')

  const signed = await firmware('sign-manifest image.bin --key next/release.key')
  expect(signed.out).toMatch(/^image.bin.manifest.json: thermostat 1.3.0, release 7, is signed by [0-9a-f]{32}\n$/)
  expect(await manifestIn('image.bin.manifest.json')).toBe(before)
  expect((await firmware('verify image.bin --key next/release.pub')).code).toBe(0)
  expect((await firmware('upload image.bin')).out).toMatch(/: was there already, and has its signature now\n$/)
  expect((await firmware('upload image.bin')).out).toMatch(/: was there already\n$/)
  const { json } = await api.ask('GET', '/v1/firmware')
  expect(json.items).toMatchObject([{ version: '1.3.0', usable: true }])
})

test('a manifest that nobody has signed is signed as it stands, whatever else it says', async () => {
  await firmware('keygen --out bare')
  const { payload } = JSON.parse(await readFile(join(folder, 'image.bin.manifest.json'), 'utf8'))
  const manifest = { ...JSON.parse(Buffer.from(payload, 'base64').toString()), delta: { from: '1.2.0' } }
  await writeFile(join(folder, 'bare.json'), JSON.stringify(manifest, null, 2))
  expect(await firmware('sign-manifest image.bin --key bare/release.key --manifest bare.json')).toMatchObject({ code: 0, err: '' })
  expect(JSON.parse(await manifestIn('bare.json'))).toEqual(manifest)
  expect((await firmware('verify image.bin --key bare/release.pub --manifest bare.json')).code).toBe(0)
})

async function manifestIn(file: string): Promise<string> {
  const { payload } = JSON.parse(await readFile(join(folder, file), 'utf8'))
  return Buffer.from(payload, 'base64').toString()
}

test('what is wrong is said in a line, and nothing is written', async () => {
  await firmware('keygen --out others')
  await firmware('keygen --out right')
  await firmware(`${SIGN} --key right/release.key --out right.json`)
  await writeFile(join(folder, 'altered.bin'), image)
  await appendFile(join(folder, 'altered.bin'), 'x')
  await writeFile(join(folder, 'empty.bin'), '')
  await writeFile(join(folder, 'other.key'), 'castor_that-of-nobody\n')
  const cases: Array<[words: string, says: string | RegExp]> = [
    ['verify image.bin --key others/release.pub --manifest right.json', /right.json is not signed by this key/],
    ['verify altered.bin --key right/release.pub --manifest right.json', 'altered.bin has 200001 bytes, and its manifest names 200000.\n'],
    ['verify image.bin --key right/release.key --manifest right.json', /is a private key: name the public one/],
    ['sign-manifest altered.bin --key right/release.key --manifest right.json', /^altered.bin has 200001 bytes/],
    ['verify image.bin --key right/release.pub --manifest image.bin', 'image.bin is no JSON.\n'],
    ['sign absent.bin --key right/release.key --model m --version 1 --counter 1', 'absent.bin: there is no such file.\n'],
    ['sign empty.bin --key right/release.key --model m --version 1 --counter 1', 'empty.bin is empty.\n'],
    ['sign image.bin --key right/release.pub --model m --version 1 --counter 1', 'right/release.pub is no private key in PEM.\n'],
    [
      'sign image.bin --key right/release.key --model m --version v/1 --counter 1 --out bad.json',
      /version: must be a version like 1.3.0: a letter or digit/,
    ],
    ['sign image.bin --key right/release.key --model m --version 1 --counter one', /A whole number/],
    ['sign image.bin --key right/release.key --model m --version 1 --counter 1 --expires soon', /A time like/],
    [
      'sign image.bin --key right/release.key --model m --version 1 --counter 1 --expires 2024-01-31T00:00:00Z',
      /2024-01-31T00:00:00.000Z is past/,
    ],
    ['upload absent.bin --manifest right.json', 'absent.bin: there is no such file.\n'],
    ['upload image.bin --manifest absent.json', 'absent.json: there is no such file.\n'],
    ['upload image.bin --manifest right.json --url http://127.0.0.1:1', /^No Castor answers at http:\/\/127.0.0.1:1 /],
    ['upload image.bin --manifest right.json --api-key-file other.key', /status 401/],
    ['upload image.bin --manifest right.json --api-key-file right.json', 'right.json is no API key.\n'],
  ]
  // A few at a time: each is a process.
  for (let at = 0; at < cases.length; at += 3)
    await Promise.all(
      cases.slice(at, at + 3).map(async ([words, says]) => {
        const { code, out, err } = await firmware(words)
        expect([words, code, out]).toEqual([words, 1, ''])
        if (typeof says === 'string') expect(err).toBe(says)
        else expect(err).toMatch(says)
        expect(err.split('\n').length, err).toBeLessThan(4)
      }),
    )
  await expect(stat(join(folder, 'bad.json'))).rejects.toThrow('ENOENT')
})
