import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BinaryOptions, type Maker, temporalBinary } from '../../infra/temporal/binary.ts'
import { downloadRelease } from '../../infra/temporal/binary-download.ts'

const VERSION = 'temporal version 0.0.0-DEV (Server 1.31.2, UI 2.50.1)'

describe('finding the Temporal CLI', () => {
  let folder: string
  let said: string[]
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-binary-'))
    said = []
  })
  afterEach(() => rm(folder, { recursive: true }))

  const find = (options: Partial<BinaryOptions>) =>
    temporalBinary({
      cacheDir: join(folder, 'cache'),
      say: (line) => said.push(line),
      onPath: join(folder, 'nowhere'),
      makers: [],
      ...options,
    })

  async function program(path: string, prints = VERSION): Promise<string> {
    await mkdir(join(path, '..'), { recursive: true })
    await writeFile(path, `#!/bin/sh\necho '${prints}'\n`)
    await chmod(path, 0o755)
    return path
  }

  const maker = (name: string, make: Maker['make']): Maker => ({ name, make })
  const cached = () => join(folder, 'cache', 'castor', `temporal-1.8.2-${process.platform}-${process.arch}`)

  test('TEMPORAL_CLI_PATH wins, and one that does not run is an error instead of a search', async () => {
    await program(cached())
    expect(await find({ cliPath: await program(join(folder, 'mine')) })).toBe(join(folder, 'mine'))
    await expect(find({ cliPath: join(folder, 'missing') })).rejects.toThrow(/TEMPORAL_CLI_PATH/)
  })

  test('the cache comes before PATH', async () => {
    const onPath = await program(join(folder, 'bin', 'temporal'))
    expect(await find({ onPath })).toBe(onPath)
    await program(cached())
    expect(await find({ onPath })).toBe(cached())
  })

  test('a temporal on PATH in another version is passed over', async () => {
    const onPath = await program(join(folder, 'bin', 'temporal'), 'temporal version 1.0.0 (Server 1.24.2, UI 2.27.1)')
    const made = maker('made', async (target) => void (await program(target)))
    expect(await find({ onPath, makers: [made] })).toBe(cached())
  })

  test('the ways of making it are tried in order, each failure is told, and the result is kept', async () => {
    const makers = [
      maker('the archive', async () => {
        throw new Error('no internet')
      }),
      maker('the build', async (target) => void (await program(target))),
    ]
    expect(await find({ makers })).toBe(cached())
    expect(said).toEqual(['Temporal server: the archive did not work (no internet)'])
    expect(await find({ makers: [] })).toBe(cached())
  })

  test('what a killed attempt left is removed before the next', async () => {
    await program(`${cached()}.123.new`)
    await mkdir(join(folder, 'cache', 'castor', '.fetch-x'))
    await find({ makers: [maker('made', async (target) => void (await program(target)))] })
    const left = (await readdir(join(folder, 'cache', 'castor'))).filter((entry) => !entry.includes('.lock'))
    expect(left).toEqual([`temporal-1.8.2-${process.platform}-${process.arch}`])
  })

  test('when nothing works the error names every way', async () => {
    const failing = (name: string) =>
      maker(name, async () => {
        throw new Error(`${name} is down`)
      })
    const error: Error = await find({ makers: [failing('archive'), failing('build')] }).catch((e) => e)
    for (const part of ['TEMPORAL_CLI_PATH', 'cache', 'PATH', 'archive is down', 'build is down', 'TEMPORAL_ADDRESS'])
      expect(error.message).toContain(part)
  })

  test('of two starts at once one makes it and the other waits', async () => {
    let [running, most, made] = [0, 0, 0]
    const slow = maker('slow', async (target) => {
      most = Math.max(most, ++running)
      made++
      await new Promise((resolve) => setImmediate(resolve))
      await program(target)
      running--
    })
    // The same process counts as the same holder: the second finds the lock of a living one.
    expect(await Promise.all([find({ makers: [slow] }), find({ makers: [slow] })])).toEqual([cached(), cached()])
    expect([most, made]).toEqual([1, 1])
    const left = (await readdir(join(folder, 'cache', 'castor'))).filter((entry) => !entry.includes('.lock'))
    expect(left).toEqual([`temporal-1.8.2-${process.platform}-${process.arch}`])
  })

  describe('the official archive', () => {
    const name = `temporal_cli_1.8.2_${process.platform}_${process.arch === 'x64' ? 'amd64' : process.arch}.tar.gz`

    async function serve(checksum: (archive: Buffer) => string, run: (releases: string) => Promise<void>) {
      await program(join(folder, 'archive', 'temporal'))
      execFileSync('tar', ['-czf', join(folder, name), '-C', join(folder, 'archive'), 'temporal'])
      const archive = await readFile(join(folder, name))
      const server = createServer((request, response) => {
        if (request.url === '/v1.8.2/checksums.txt') response.end(`${'0'.repeat(64)}  other.tar.gz\n${checksum(archive)}  ${name}\n`)
        else if (request.url === `/v1.8.2/${name}`) response.end(archive)
        else response.writeHead(404).end()
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      try {
        await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
      } finally {
        server.close()
      }
    }

    const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex')

    test('is unpacked when its checksum is that of its release', async () => {
      await serve(sha256, async (releases) => {
        const target = join(folder, 'temporal')
        await downloadRelease('1.8.2', target, { say: () => {}, releases })
        expect(execFileSync(target, ['--version'], { encoding: 'utf8' }).trim()).toBe(VERSION)
        expect((await readdir(folder)).filter((entry) => entry.startsWith('.fetch'))).toEqual([])
      })
    })

    test('is not used when its checksum differs', async () => {
      await serve(
        () => 'f'.repeat(64),
        async (releases) => {
          await expect(downloadRelease('1.8.2', join(folder, 'temporal'), { say: () => {}, releases })).rejects.toThrow(/not used/)
          expect(await readdir(folder)).not.toContain('temporal')
        },
      )
    })

    test('fails at once where nobody listens', async () => {
      const options = { say: () => {}, releases: 'http://127.0.0.1:9' }
      await expect(downloadRelease('1.8.2', join(folder, 'temporal'), options)).rejects.toThrow()
    })
  })
})
