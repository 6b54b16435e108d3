/** Firmware in a folder: whole or not there. */
import { mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FirmwareStore } from '../../api/firmware-ports.ts'
import { createFolderStore, type FolderStore } from '../../infra/firmware/folder-store.ts'
import { imageOf, sha256Of } from '../support/signed-firmware.ts'

let folder: string
let store: FolderStore

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'castor-firmware-')), 'firmware')
  store = createFolderStore(folder)
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

async function* pieces(content: Uint8Array, size = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size)
}

async function readAll(from: FirmwareStore, sha256: string, first: number, last: number): Promise<Buffer | undefined> {
  const content = await from.open(sha256, { first, last })
  if (!content) return undefined
  const chunks: Uint8Array[] = []
  try {
    for (let chunk = await content.read(); chunk; chunk = await content.read()) chunks.push(chunk)
  } finally {
    await content.close()
  }
  return Buffer.concat(chunks)
}

async function kept(content: Uint8Array): Promise<string> {
  const upload = await store.put(pieces(content), content.length)
  await upload.keep()
  return upload.sha256
}

async function files(): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

test('what is kept is there for every process that has the folder, whole and in any range', async () => {
  const image = imageOf(300_000)
  const sha256 = await kept(image)
  expect(sha256).toBe(sha256Of(image))
  const other = createFolderStore(folder)
  const position = fc.nat({ max: image.length - 1 })
  await fc.assert(
    fc.asyncProperty(position, position, async (one, two) => {
      const [first, last] = [Math.min(one, two), Math.max(one, two)]
      expect((await readAll(other, sha256, first, last))!.equals(image.subarray(first, last + 1))).toBe(true)
    }),
    { numRuns: 50 },
  )
})

test('nobody sees an upload before it is kept, and nothing of one that is discarded', async () => {
  const image = imageOf(100_000)
  const upload = await store.put(pieces(image), image.length)
  expect(upload).toMatchObject({ sha256: sha256Of(image), size: image.length })
  expect(await store.open(upload.sha256, { first: 0, last: 0 })).toBeUndefined()
  await upload.discard()
  expect(await files()).toEqual([])
})

test('what is longer than it may be is refused at once, however much would come', async () => {
  let sent = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (; ; sent += 1_000) yield new Uint8Array(1_000)
  }
  await expect(store.put(endless(), 5_000)).rejects.toMatchObject({ code: 'too-large' })
  expect(sent).toBe(5_000)
  expect(await files()).toEqual([])
})

test('what breaks off leaves nothing', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1_000)
    throw new Error('the line broke')
  }
  await expect(store.put(broken(), 5_000)).rejects.toThrow('the line broke')
  expect(await files()).toEqual([])
})

test('where there is no room nothing is begun', async () => {
  const full = createFolderStore(folder, async () => 1_000)
  await expect(full.put(pieces(imageOf(2_000)), 2_000)).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 300 })
  expect(await files()).toEqual([])
  await (await full.put(pieces(imageOf(1_000)), 1_000)).keep()
})

test('uploads under way count as if they were there already, as far as they are not', async () => {
  const gate = Promise.withResolvers<void>()
  const written = Promise.withResolvers<void>()
  let room = 3_000
  const tight = createFolderStore(folder, async () => room)
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(500)
    room -= 500
    written.resolve()
    await gate.promise
    yield new Uint8Array(1_500)
  }
  const first = tight.put(slow(), 2_000)
  await written.promise
  await expect(tight.put(pieces(imageOf(1_001)), 1_001)).rejects.toMatchObject({ code: 'unavailable' })
  await (await tight.put(pieces(imageOf(1_000)), 1_000)).discard()
  await expect(tight.put(pieces(imageOf(1_000)), 500)).rejects.toMatchObject({ code: 'too-large' })
  gate.resolve()
  await (await first).discard()
  room = 3_000
  await (await tight.put(pieces(imageOf(3_000)), 3_000)).discard()
  const [one, two] = await Promise.allSettled([tight.put(pieces(imageOf(2_000)), 2_000), tight.put(pieces(imageOf(2_000)), 2_000)])
  expect([one.status, two.status].sort()).toEqual(['fulfilled', 'rejected'])
})

describe('an image that no artifact names', () => {
  const hour = 3_600_000
  const all = async (sha256s: string[]) => sha256s

  test('goes when it was kept an hour ago, and nothing else does', async () => {
    const [one, two] = [await kept(imageOf(1_000)), await kept(imageOf(2_000))]
    await writeFile(join(folder, one.slice(0, 2), 'README'), 'not of ours')
    const asked: string[][] = []
    const ofOne = async (sha256s: string[]) => {
      asked.push(sha256s.toSorted())
      return [one]
    }
    expect(await store.removeUnnamed(ofOne, Date.now() + hour - 5_000)).toBe(0)
    expect(asked).toEqual([])
    expect(await store.removeUnnamed(ofOne, Date.now() + hour)).toBe(1)
    expect(asked).toEqual([[one, two].toSorted()])
    expect((await files()).sort()).toEqual(['README', two].sort())
    expect(await createFolderStore(join(folder, 'absent')).removeUnnamed(all)).toBe(0)
  })

  test('stays when the same is kept anew while it is asked for, and is as young as its being kept', async () => {
    const image = imageOf(1_000)
    const sha256 = await kept(image)
    const long = new Date(Date.now() - 2 * hour)
    await utimes(join(folder, sha256.slice(0, 2), sha256), long, long)
    const again = await store.put(pieces(image), image.length)
    const [name] = await readdir(join(folder, 'incoming'))
    await utimes(join(folder, 'incoming', name!), long, long)
    const removed = await store.removeUnnamed(async (sha256s) => {
      await again.keep()
      return sha256s
    })
    expect(removed).toBe(0)
    expect(await files()).toEqual([sha256])
    expect(await store.removeUnnamed(all, Date.now() + hour)).toBe(1)
    expect(await files()).toEqual([])
  })
})

test('what dead uploads left is removed, and what still grows is not', async () => {
  await mkdir(join(folder, 'incoming'), { recursive: true })
  const old = new Date(Date.now() - 3_600_000)
  for (const name of ['dead', 'alive']) await writeFile(join(folder, 'incoming', name), 'half of it')
  await utimes(join(folder, 'incoming', 'dead'), old, old)
  const sha256 = await kept(imageOf())
  await utimes(join(folder, sha256.slice(0, 2), sha256), old, old)
  expect(await store.removeLeftovers()).toBe(1)
  expect((await files()).sort()).toEqual(['alive', sha256].sort())
  expect(await createFolderStore(join(folder, 'absent')).removeLeftovers()).toBe(0)
})

test('what was damaged on the disk is an error and not an end, until it is uploaded again; who reads it meanwhile reads on', async () => {
  const image = imageOf(200_000)
  const sha256 = await kept(image)
  await truncate(join(folder, sha256.slice(0, 2), sha256), 100_000)
  await expect(readAll(store, sha256, 0, image.length - 1)).rejects.toThrow(/ends at 100000, before 199999/)
  const reading = (await store.open(sha256, { first: 0, last: 99_999 }))!
  await kept(image)
  expect(Buffer.from((await reading.read())!).equals(image.subarray(0, 65_536))).toBe(true)
  await reading.close()
  expect((await readAll(store, sha256, 0, image.length - 1))!.equals(image)).toBe(true)
  expect(await files()).toEqual([sha256])
})

test('the same content by many at once is one file', async () => {
  const image = imageOf(100_000)
  await Promise.all(Array.from({ length: 5 }, () => kept(image)))
  expect(await files()).toEqual([sha256Of(image)])
})
