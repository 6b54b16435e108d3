import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { adminKey, openDataFolder, runningIn } from '../../infra/data-folder.ts'
import { identityOf, isAlive, type ProcessIdentity } from '../../infra/processes/identity.ts'
import { tryLock } from '../../infra/processes/lock-file.ts'
import { requireFree } from '../../infra/processes/ports.ts'

describe('the data folder', () => {
  let path: string
  const children: ChildProcess[] = []
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'castor-data-')), 'data')
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await rm(join(path, '..'), { recursive: true })
  })

  /** A process that lives until it is killed. */
  async function sleeper(): Promise<ProcessIdentity> {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    children.push(child)
    await new Promise((resolve) => child.once('spawn', resolve))
    return identityOf(child.pid!)!
  }

  test('in use is refused, and free again after its release', async () => {
    const folder = await openDataFolder(path)
    await expect(openDataFolder(path)).rejects.toThrow(`in use by a running Castor (process ${process.pid})`)
    await folder.release()
    await (await openDataFolder(path)).release()
  })

  test('the lock of a dead process, and one whose pid is another now, hold nothing', async () => {
    await (await openDataFolder(path)).release()
    for (const content of [JSON.stringify({ pid: process.pid, started: 'long ago' }), '{"pid":', '']) {
      const lock = (await readdir(path)).find((name) => name.startsWith('castor.lock.'))!
      await writeFile(join(path, lock), content)
      await (await openDataFolder(path)).release()
    }
  })

  test('of many that take a dead lock at once one gets it', async () => {
    await (await openDataFolder(path)).release()
    const lock = join(path, 'contended')
    await writeFile(`${lock}.7`, JSON.stringify({ pid: process.pid, started: 'long ago' }))
    const script = `import { tryLock } from ${JSON.stringify(join(import.meta.dirname, '../../infra/processes/lock-file.ts'))}
      process.stdin.once('data', async () => { console.log('release' in (await tryLock(${JSON.stringify(lock)})) ? 'won' : 'lost') })
      process.stdin.once('end', () => process.exit())
      console.log('here')`
    const contenders = Array.from({ length: 8 }, () => spawn(process.execPath, ['--input-type=module', '-e', script]))
    children.push(...contenders)
    const read = (child: ChildProcess) =>
      new Promise<string>((resolve) => child.stdout!.once('data', (data) => resolve(String(data).trim())))
    await Promise.all(contenders.map(read))
    const results = contenders.map(read)
    for (const child of contenders) child.stdin!.write('go\n')
    expect((await Promise.all(results)).sort()).toEqual(['lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'won'])
    expect('heldBy' in (await tryLock(lock))).toBe(true)
    for (const child of contenders) child.stdin!.end()
  })

  test('a start ends what a killed one left, and nobody whose pid was used again', async () => {
    const folder = await openDataFolder(path)
    const [left, stranger] = [await sleeper(), await sleeper()]
    await folder.started('bridge', left)
    await folder.started('worker', { ...stranger, started: 'before' })
    expect(await runningIn(path)).toEqual({ bridge: left })
    await folder.release()

    const next = await openDataFolder(path)
    expect(next.leftovers).toEqual(['bridge'])
    expect([isAlive(left), isAlive(stranger)]).toEqual([false, true])
    expect(await runningIn(path)).toEqual({})
    await next.release()
  })

  test('the admin key is made once, for its owner alone, and CASTOR_ADMIN_KEY wins', async () => {
    const folder = await openDataFolder(path)
    const first = await adminKey(path, undefined)
    expect(first.place).toBe(join(path, 'admin.key'))
    expect(await adminKey(path, undefined)).toEqual(first)
    expect((await readFile(first.place, 'utf8')).trim()).toBe(first.key)
    expect((await stat(first.place)).mode & 0o777).toBe(0o600)
    expect(await adminKey(path, 'given-by-environment')).toEqual({ key: 'given-by-environment', place: 'CASTOR_ADMIN_KEY' })
    await folder.release()
  })

  test('a port that is taken, or wanted twice, is named', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const wanted = (variable: string) => ({ variable, host: '127.0.0.1', port })
    await expect(requireFree([wanted('CASTOR_MQTT_PORT')])).rejects.toThrow(`CASTOR_MQTT_PORT: port ${port} on 127.0.0.1 is taken`)
    await expect(requireFree([wanted('CASTOR_HTTP_PORT'), wanted('CASTOR_MQTT_PORT')])).rejects.toThrow(
      `CASTOR_HTTP_PORT and CASTOR_MQTT_PORT are both ${port}`,
    )
    await new Promise((resolve) => server.close(resolve))
    await requireFree([wanted('CASTOR_MQTT_PORT')])
  })
})
