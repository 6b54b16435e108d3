/**
 * Firmware in a folder, by its content: `ab/<sha256>`. An upload is a file in `incoming` until it is whole, synced and known to be what it
 * should be; then it is renamed, so that nobody ever sees half of one. The api writes it, the bridges read it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { FirmwareStore, StoredUpload } from '../../api/firmware-ports.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { REFUSE_BELOW } from '../disk-guard.ts'

const CHUNK_BYTES = 64 * 1024
/** An upload that nothing was added to for so long is dead: api/http/multipart.ts waits less. */
const DEAD_AFTER_MS = 10 * 60_000
/** An image that was kept so long ago has its row, if it ever gets one: the row is written at once. */
const ROW_WITHIN_MS = 60 * 60_000
/** Twice what stays free of messages: nobody's images may be what ends ingest for all. */
const KEEPS_FREE = 2 * REFUSE_BELOW

export interface FolderStore extends FirmwareStore {
  /** Removes what dead uploads left; gives how many. */
  removeLeftovers(now?: number): Promise<number>
  /**
   * Removes images that no row names: of an upload whose process died between the two, or whose version was another by then. `unnamed` picks
   * them of those that are asked for. Gives how many.
   */
  removeUnnamed(unnamed: (sha256s: string[]) => Promise<string[]>, now?: number): Promise<number>
}

/** `roomOf` (bytes) for tests; default: a fifth of the disk stays free. */
export function createFolderStore(folder: string, roomOf = () => roomIn(folder)): FolderStore {
  /** Bytes that uploads under way may still write. */
  let promised = 0
  const incoming = join(folder, 'incoming')
  const pathOf = (sha256: string) => join(folder, sha256.slice(0, 2), sha256)

  return {
    async put(content, mostBytes) {
      await mkdir(incoming, { recursive: true, mode: 0o700 })
      const room = await roomOf()
      if (promised + mostBytes > room) throw noRoom()
      let left = mostBytes
      promised += left
      const written = (bytes: number) => {
        left -= bytes
        promised -= bytes
      }
      const path = join(incoming, randomUUID())
      try {
        const { sha256, size } = await write(path, content, mostBytes, written)
        return upload(path, sha256, size)
      } catch (error) {
        await rm(path, { force: true })
        throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? noRoom(error) : error
      } finally {
        written(left)
      }
    },

    async open(sha256, { first, last }) {
      const file = await open(pathOf(sha256)).catch(absent)
      if (!file) return undefined
      let position = first
      return {
        async read() {
          const length = Math.min(CHUNK_BYTES, last + 1 - position)
          if (length <= 0) return undefined
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position)
          if (bytesRead === 0) throw new Error(`The file of firmware ${sha256} ends at ${position}, before ${last}`)
          position += bytesRead
          return buffer.subarray(0, bytesRead)
        },
        close: () => file.close(),
      }
    },

    async removeLeftovers(now = Date.now()) {
      let removed = 0
      for (const name of (await readdir(incoming).catch(absent)) ?? []) {
        const file = await stat(join(incoming, name)).catch(absent)
        if (!file || now - file.mtimeMs < DEAD_AFTER_MS) continue
        await rm(join(incoming, name), { force: true })
        removed++
      }
      return removed
    },

    async removeUnnamed(unnamed, now = Date.now()) {
      const isOld = (file: { mtimeMs: number } | undefined) => file !== undefined && now - file.mtimeMs >= ROW_WITHIN_MS
      const old: string[] = []
      for (const sha256 of await images(folder)) if (isOld(await stat(pathOf(sha256)).catch(absent))) old.push(sha256)
      if (old.length === 0) return 0
      let removed = 0
      for (const sha256 of await unnamed(old)) {
        // Out of the way first: the same may have been kept anew since, by a process that writes its row just now.
        const aside = join(incoming, randomUUID())
        await mkdir(incoming, { recursive: true, mode: 0o700 })
        await rename(pathOf(sha256), aside).catch(absent)
        const file = await stat(aside).catch(absent)
        if (!file) continue
        if (isOld(file)) {
          await rm(aside, { force: true })
          removed++
        } else await rename(aside, pathOf(sha256))
      }
      return removed
    },
  }

  function upload(path: string, sha256: string, size: number): StoredUpload {
    return {
      sha256,
      size,
      async keep() {
        const place = pathOf(sha256)
        await mkdir(dirname(place), { recursive: true, mode: 0o700 })
        // Its age is that of its being kept (removeUnnamed), not of its last byte.
        const now = new Date()
        await utimes(path, now, now)
        // Where the same was before it is replaced by the same; who reads it reads on.
        await rename(path, place)
        await syncFolder(dirname(place))
        await syncFolder(folder)
      },
      discard: () => rm(path, { force: true }),
    }
  }
}

type Content = AsyncIterable<Uint8Array>

async function write(path: string, content: Content, mostBytes: number, written: (bytes: number) => void) {
  const file = await open(path, 'wx', 0o600)
  try {
    return await writeTo(file, content, mostBytes, written)
  } finally {
    await file.close()
  }
}

async function writeTo(file: FileHandle, content: Content, mostBytes: number, written: (bytes: number) => void) {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of content) {
    size += chunk.length
    if (size > mostBytes) throw new CastorError('too-large', `The file is larger than the ${mostBytes} bytes that its manifest names.`)
    hash.update(chunk)
    await file.writeFile(chunk)
    written(chunk.length)
  }
  await file.sync()
  return { sha256: hash.digest('hex'), size }
}

/** Without it a rename may be lost when the machine fails. Windows knows no such thing. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function images(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const part of (await readdir(folder).catch(absent)) ?? []) {
    if (!/^[0-9a-f]{2}$/.test(part)) continue
    for (const name of await readdir(join(folder, part))) if (/^[0-9a-f]{64}$/.test(name) && name.startsWith(part)) found.push(name)
  }
  return found
}

async function roomIn(folder: string): Promise<number> {
  const { bavail, bfree, blocks, bsize } = await statfs(folder)
  const usable = (blocks - bfree + bavail) * bsize
  return bavail * bsize - usable * KEEPS_FREE
}

function noRoom(cause?: unknown): CastorError {
  return new CastorError('unavailable', 'There is no room for the file: the disk is nearly full. Try again when there is.', {
    retryAfterSeconds: 300,
    cause,
  })
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
