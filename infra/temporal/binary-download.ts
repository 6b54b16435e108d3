/** The official archive of a Temporal CLI release, checked against the checksum file of the same release. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { suffix, versionOf } from './binary.ts'

const RELEASES = 'https://github.com/temporalio/cli/releases/download'
/** Without internet this is all that is waited. */
const ANSWER_TIMEOUT_MS = 6_000
/** A download that stands still this long is given up. */
const STALL_TIMEOUT_MS = 15_000
const PROGRESS_MS = 5_000
/** An archive has some 40 MB; anything above this is not one. */
const MOST_BYTES = 300 * 2 ** 20

export interface DownloadOptions {
  say: (line: string) => void
  signal?: AbortSignal
  /** Other than the official page; for tests. */
  releases?: string
}

export async function downloadRelease(version: string, target: string, options: DownloadOptions): Promise<void> {
  const folder = `${options.releases ?? RELEASES}/v${version}`
  const archive = `temporal_cli_${version}_${platformName()}.tar.gz`
  options.say(`Temporal server: fetching the official archive ${archive}`)
  const checksums = (await get(`${folder}/checksums.txt`, options)).toString('utf8')
  const expected = new RegExp(`^([0-9a-f]{64})\\s+\\*?${archive.replaceAll('.', '\\.')}$`, 'm').exec(checksums)?.[1]
  if (!expected) throw new Error(`the checksum file of release ${version} does not name ${archive}`)
  const content = await get(`${folder}/${archive}`, options)
  const actual = createHash('sha256').update(content).digest('hex')
  if (actual !== expected) throw new Error(`${archive} has the checksum ${actual}, its release says ${expected}: not used`)
  await unpack(content, target)
}

/** Into a folder beside the target and then a rename: nobody ever sees half a binary. */
async function unpack(archive: Buffer, target: string): Promise<void> {
  const folder = await mkdtemp(join(dirname(target), '.fetch-'))
  try {
    await writeFile(join(folder, 'archive.tar.gz'), archive)
    await promisify(execFile)('tar', ['-xzf', 'archive.tar.gz', `temporal${suffix()}`], { cwd: folder, timeout: 120_000 })
    const binary = join(folder, `temporal${suffix()}`)
    await chmod(binary, 0o755)
    await versionOf(binary)
    await rename(binary, target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function get(url: string, { say, signal }: DownloadOptions): Promise<Buffer> {
  const stop = new AbortController()
  const abort = () => stop.abort(signal?.reason)
  signal?.addEventListener('abort', abort)
  let timer = setTimeout(() => stop.abort(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)), ANSWER_TIMEOUT_MS)
  try {
    const response = await fetch(url, { signal: stop.signal })
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`)
    const total = Number(response.headers.get('content-length')) || 0
    const chunks: Uint8Array[] = []
    let [bytes, told] = [0, performance.now()]
    for await (const chunk of response.body) {
      clearTimeout(timer)
      timer = setTimeout(() => stop.abort(new Error('the download stands still')), STALL_TIMEOUT_MS)
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > MOST_BYTES) throw new Error(`${url} is larger than ${MOST_BYTES / 2 ** 20} MB`)
      if (performance.now() - told > PROGRESS_MS) {
        told = performance.now()
        say(`Temporal server: ${megabytes(bytes)}${total > 0 ? ` of ${megabytes(total)}` : ''} MB fetched`)
      }
    }
    return Buffer.concat(chunks)
  } catch (error) {
    const cause = (error as Error).cause as Error | undefined
    throw new Error(`${cause?.message ?? (error as Error).message} (${new URL(url).host})`, { cause: error })
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20)

function platformName(): string {
  const system = { linux: 'linux', darwin: 'darwin', win32: 'windows' }[process.platform as string]
  const machine = { x64: 'amd64', arm64: 'arm64' }[process.arch as string]
  if (!system || !machine) throw new Error(`there is none for ${process.platform} ${process.arch}`)
  return `${system}_${machine}`
}
