/** Starting, stopping and dying of the whole of Castor, on its real entry: what docs/architecture.md §10 promises of `npm start`. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runningIn } from '../../infra/data-folder.ts'
import { identityOf, isAlive } from '../../infra/processes/identity.ts'
import { CASTOR_PROCESSES, startCastor, type TestCastor } from '../support/castor.ts'
import { freePort } from '../support/free-port.ts'
import { startProcess } from '../support/process.ts'
import { until } from '../support/wait.ts'

describe('the whole of Castor', () => {
  let castor: TestCastor
  beforeAll(async () => {
    castor = await startCastor()
  })
  afterAll(() => castor?.stop())

  const text = async (path: string) => {
    const response = await fetch(castor.api + path)
    return { status: response.status, type: response.headers.get('content-type') ?? '', body: await response.text() }
  }

  test('says what is up and where, and where the admin key lies, but never the key', async () => {
    await until(() => castor.output().includes('Castor is up'), 'the banner')
    const output = castor.output()
    for (const part of [`${castor.api}/v1`, `${castor.api}/docs`, castor.mqttUrl, `${castor.deviceHttp}/device/v1`, 'Temporal UI'])
      expect(output).toContain(part)
    expect(output).toContain(join(castor.dataDir, 'admin.key'))
    expect(output).not.toContain(castor.key)
  })

  test('answers health, readiness of every process, and the metrics of all, without a credential', async () => {
    expect(await text('/healthz')).toMatchObject({ status: 200 })
    const ready = await text('/readyz')
    expect(JSON.parse(ready.body).processes).toEqual({ api: true, bridge: true, processor: true, worker: true, dispatcher: true })
    const { body, type } = await text('/metrics')
    expect(type).toMatch(/^text\/plain/)
    for (const name of ['api', 'bridge', 'processor', 'worker', 'dispatcher'])
      expect(body).toMatch(new RegExp(`^castor_event_loop_delay_seconds\\{.*process="${name}".*\\} `, 'm'))
    const types = body.split('\n').filter((line) => line.startsWith('# TYPE '))
    expect(new Set(types).size).toBe(types.length)
  })

  test('a second start on the same data folder is refused, and harms nothing', async () => {
    const second = startProcess([], { CASTOR_DATA_DIR: castor.dataDir, CASTOR_HTTP_PORT: String(await freePort()) })
    await until(() => second.exit, 'it ends')
    expect(second.exit!.code).toBe(1)
    expect(second.output()).toMatch(/in use by a running Castor \(process \d+\)/)
    expect((await text('/readyz')).status).toBe(200)
  })

  test('a port that is taken is named, and nothing is left of that start', async () => {
    const folder = `${castor.dataDir}/second`
    const taken = new URL(castor.api).port
    const free = Object.fromEntries(
      await Promise.all(
        ['DEVICE_HTTP', 'MQTT', 'TEMPORAL', 'TEMPORAL_UI'].map(async (name) => [`CASTOR_${name}_PORT`, String(await freePort())]),
      ),
    )
    const second = startProcess([], { CASTOR_DATA_DIR: folder, CASTOR_HTTP_PORT: taken, ...free })
    await until(() => second.exit, 'it ends')
    expect(second.exit!.code).toBe(1)
    expect(second.output()).toContain(`CASTOR_HTTP_PORT: port ${taken} on 127.0.0.1 is taken`)
  })

  test('what dies is started again, and its end is told', async () => {
    const before = await castor.pids()
    for (const name of ['worker', 'postgres', 'temporal'] as const) await castor.kill(name)
    await until(async () => {
      const now = await castor.pids()
      return (['worker', 'postgres', 'temporal'] as const).every((name) => now[name] && now[name].pid !== before[name]!.pid)
    }, 'all run again')
    await castor.ready()
    for (const name of ['worker', 'postgres', 'temporal'])
      expect(castor.output()).toMatch(new RegExp(`${name} ended: killed by SIGKILL.*It is started again`))
  })

  test('a process that is told to end alone ends in order and comes back', async () => {
    const before = (await castor.pids()).bridge!
    await castor.kill('bridge', 'SIGTERM')
    await until(async () => {
      const now = (await castor.pids()).bridge
      return now && now.pid !== before.pid
    }, 'another bridge')
    expect(await readFile(join(castor.dataDir, 'logs', 'bridge.log'), 'utf8')).toContain('"Stopped"')
    await castor.ready()
  })

  test('after a kill -9 of the supervisor its processes end, and the next start carries on', async () => {
    await castor.register('survivor')
    const before = await castor.pids()
    await castor.kill('supervisor')
    const children = (['bridge', 'processor', 'worker', 'dispatcher', 'api'] as const).map((name) => before[name]!)
    await until(() => !children.some(isAlive), 'the processes end')
    expect([before.postgres!, before.temporal!].every(isAlive)).toBe(true)
    await castor.start()
    await castor.ready()
    expect([before.postgres!, before.temporal!].some(isAlive)).toBe(false)
    expect(castor.output()).toMatch(/An earlier run was killed; ended what it left: .*postgres/)
    expect((await castor.rest('GET', '/v1/devices/survivor')).status).toBe(200)
  })

  test('SIGTERM to all of the group, and twice, ends everything in order with exit code 0', async () => {
    const all = await castor.pids()
    expect(Object.keys(all).sort()).toEqual([...CASTOR_PROCESSES].sort())
    for (const name of ['bridge', 'processor', 'worker', 'dispatcher', 'api', 'supervisor'] as const)
      process.kill(all[name]!.pid, 'SIGTERM')
    process.kill(all.supervisor!.pid, 'SIGTERM')
    const code = await castor.stop()
    expect(code).toBe(0)
    expect(Object.values(all).filter(isAlive)).toEqual([])
    expect(castor.output()).toMatch(/Stopping\nStopped\n$/)
  })

  test('SIGINT while it starts ends it as well', async () => {
    const env = Object.fromEntries(
      await Promise.all(
        ['HTTP', 'DEVICE_HTTP', 'MQTT', 'TEMPORAL', 'TEMPORAL_UI'].map(async (name) => [`CASTOR_${name}_PORT`, String(await freePort())]),
      ),
    )
    const folder = `${castor.dataDir}-short`
    const short = startProcess([], { ...env, CASTOR_DATA_DIR: folder })
    await until(() => short.exit || short.output().includes('Preparing a database'), 'it is on its way')
    expect(short.output()).toContain('Preparing a database')
    short.signal('SIGINT')
    await until(() => short.exit, 'it ends')
    expect(short.exit!.code).toBe(0)
    expect(identityOf(short.pid)).toBeNull()
    expect(await runningIn(folder)).toEqual({})
    await rm(folder, { recursive: true })
  })
})

describe('a process alone', () => {
  test('that still waits for what it needs ends by SIGTERM with exit code 0', async () => {
    const nowhere = await freePort()
    const worker = startProcess(['worker'], {
      DATABASE_URL: `postgres://nobody@127.0.0.1:${nowhere}/none`,
      TEMPORAL_ADDRESS: `127.0.0.1:${nowhere}`,
    })
    await until(() => worker.output().includes('Waiting for Temporal'), 'it waits')
    expect(await worker.stop()).toBe(0)
  })

  test('says by name which setting is missing or wrong, and ends with an error', async () => {
    const bridge = startProcess(['bridge'], {})
    await until(() => bridge.exit, 'it ends')
    expect(bridge.exit!.code).toBe(1)
    expect(bridge.output()).toContain('DATABASE_URL is not set')
    const api = startProcess(['api'], { CASTOR_HTTP_PORT: 'http' })
    await until(() => api.exit, 'it ends')
    expect([api.exit!.code, api.output()]).toEqual([1, expect.stringContaining('CASTOR_HTTP_PORT is "http"')])
  })
})
