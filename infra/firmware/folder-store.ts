/**
 * Firmware in a folder, by its content: `ab/<sha256>`. An upload is a file in `incoming` until it is whole, synced and known to be what it
 * should be; then it is renamed, so that nobody ever sees half of one. The api writes it, the bridges read it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { FirmwareStore, StoredUpload } from '../../api/firmware-ports.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { REFUSE_BELOW } from '../disk-guard.ts'

const CHUNK_BYTES = 64 * 1024
/** An upload that nothing was added to for so long is dead: api/http/multipart.ts waits less. */
const DEAD_AFTER_MS = 10 * 60_000

export interface FolderStore extends FirmwareStore {
  /** Removes what dead uploads left; gives how many. */
  removeLeftovers(now?: number): Promise<number>
}

/** `hasRoom` for tests; default: a tenth of the disk stays free. */
export function createFolderStore(folder: string, hasRoom = (bytes: number) => staysFree(folder, bytes)): FolderStore {
  const incoming = join(folder, 'incoming')
  const pathOf = (sha256: string) => join(folder, sha256.slice(0, 2), sha256)

  return {
    async put(content, mostBytes) {
      await mkdir(incoming, { recursive: true, mode: 0o700 })
      if (!(await hasRoom(mostBytes))) throw noRoom()
      const path = join(incoming, randomUUID())
      const file = await open(path, 'wx', 0o600)
      try {
        const { sha256, size } = await write(file, content, mostBytes)
        return upload(path, sha256, size)
      } catch (error) {
        await rm(path, { force: true })
        throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? noRoom(error) : error
      } finally {
        await file.close()
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
  }

  function upload(path: string, sha256: string, size: number): StoredUpload {
    return {
      sha256,
      size,
      async keep() {
        const place = pathOf(sha256)
        await mkdir(dirname(place), { recursive: true, mode: 0o700 })
        // Where the same was before it is replaced by the same; who reads it reads on.
        await rename(path, place)
        await syncFolder(dirname(place))
        await syncFolder(folder)
      },
      discard: () => rm(path, { force: true }),
    }
  }
}

async function write(file: FileHandle, content: AsyncIterable<Uint8Array>, mostBytes: number): Promise<{ sha256: string; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of content) {
    size += chunk.length
    if (size > mostBytes) throw new CastorError('too-large', `The file is larger than the ${mostBytes} bytes that its manifest names.`)
    hash.update(chunk)
    await file.writeFile(chunk)
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

async function staysFree(folder: string, bytes: number): Promise<boolean> {
  const { bavail, bfree, blocks, bsize } = await statfs(folder)
  const usable = (blocks - bfree + bavail) * bsize
  return bavail * bsize - bytes >= usable * REFUSE_BELOW
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
