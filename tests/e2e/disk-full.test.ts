/** The disk under Postgres is full to the last byte: Castor presses back, goes on reading, and recovers by itself. */
import { closeSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Load, startLoad } from '../chaos/load.ts'
import { decided } from '../chaos/settled.ts'
import { verify } from '../chaos/verify.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { watchMemory } from '../support/memory.ts'
import { missingSmallDisk } from '../support/needs.ts'
import { until } from '../support/wait.ts'

const DEVICES = 20
const DISK_MEGABYTES = 512
/** The worker has a thread for each of its three queues, and rests at some 600. */
const MEMORY_LIMIT_MB = 800
/** A device over HTTP comes back after the minute of its Retry-After. */
const CATCH_UP_MS = 120_000

describe.skipIf(missingSmallDisk())('on a small disk (needs Linux, root and unshare)', () => {
  let castor: TestCastor
  let load: Load
  let token: string
  let filler: Filler | undefined
  let outside: string

  beforeAll(async () => {
    castor = await startCastor({ diskMegabytes: DISK_MEGABYTES })
    token = await castor.register('extra')
    // The fleet's own files must not suffer from the disk that it fills.
    outside = await mkdtemp(join(tmpdir(), 'castor-fleet-'))
    load = await startLoad({ ...castor, dataDir: outside }, { devices: DEVICES, intervalMs: 200, seed: 'disk', mischief: false })
    const { fleet } = load
    await until(() => fleet.figures.online === DEVICES && fleet.figures.acknowledged > 200, 'the fleet is at work')
    await until(async () => (await castor.rest('GET', `/v1/twins/${fleet.ids[0]}`)).body.telemetry.temperature, 'the first twin shows it')
  })

  afterAll(async () => {
    filler?.free()
    await load?.stop()
    await castor?.stop()
    if (outside) await rm(outside, { recursive: true, force: true })
  })

  test('while the disk is full nothing is acknowledged, reading goes on, and then all goes on by itself', {
    timeout: 300_000,
  }, async () => {
    const memory = watchMemory(castor.pids)
    const { fleet } = load
    const before = { ...fleet.figures }
    // So that messages are accepted that the processor must then find no room for.
    await castor.kill('processor', 'SIGSTOP')
    await until(() => fleet.figures.acknowledged > before.acknowledged + DEVICES * 10, 'messages wait in the log')
    filler = fillDisk(castor.dataDir)
    expect(statfsSync(castor.dataDir).bavail).toBe(0)
    // What is known can be read, whoever writes in vain, as long as Postgres has room for its WAL.
    const read = await castor.rest('GET', `/v1/twins/${fleet.ids[0]}`)
    expect(read.status).toBe(200)
    expect(read.body.telemetry.temperature.value).toBeTypeOf('number')
    await castor.kill('processor', 'SIGCONT')

    await until(() => fleet.unacknowledged() > DEVICES * 20, 'messages pile up in the devices', 60_000)
    await refused(() => sendOverHttp())
    await until(
      () => /processor: .*No space left/.test(castor.output()) || count(castor.output(), 'postgres ended') > 0,
      'the processor finds no room',
    )

    // Without room for WAL Postgres ends itself, and on this disk it cannot even write down its pid. A processor dies besides.
    await until(async () => count(castor.output(), 'postgres ended') > 0 || (await useUpWal()), 'Postgres gives up', 60_000)
    const { acknowledged } = fleet.figures
    await castor.kill('processor')
    await until(() => count(castor.output(), 'postgres ended') >= 3, 'Postgres was started again and again', 60_000)
    await refused(() => sendOverHttp())
    await refused(() => fetchTwin(fleet.ids[0]!))
    expect(fleet.figures.acknowledged).toBe(acknowledged)

    filler.free()
    filler = undefined
    await castor.ready(60_000)
    await until(() => fleet.figures.acknowledged > acknowledged + DEVICES * 10, 'messages are acknowledged again', CATCH_UP_MS)
    await until(() => fleet.figures.online === DEVICES && fleet.unacknowledged() < DEVICES * 2, 'the devices catch up', CATCH_UP_MS)
    expect((await sendOverHttp()).status).toBe(202)
    memory.stop()
    expect(fleet.figures.refused).toBe(before.refused)
    expect(fleet.figures.dropped).toBe(0)
    for (const [name, peak] of Object.entries(memory.peaks())) expect(peak, name).toBeLessThan(MEMORY_LIMIT_MB)
  })

  test('and everything that was acknowledged is there, and nothing became a dead letter', { timeout: 150_000 }, async () => {
    const { fleet, ledger } = load
    await load.quiet(30_000)
    await decided(castor.sql, 90_000)
    const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
    const { findings } = await verify({ sql: castor.sql, tenant: 'demo', devices: fleet.ids, ledger, twin })
    expect(findings.lines()).toEqual([])
    expect(await castor.sql`select reason, detail from dead_letters`).toEqual([])
  })

  function sendOverHttp(): Promise<Response> {
    return fetch(`${castor.deviceHttp}/device/v1/telemetry`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ temperature: 20 }),
      signal: AbortSignal.timeout(30_000),
    })
  }

  /** Each switch begins a segment of 16 MB; never true. */
  async function useUpWal(): Promise<false> {
    await castor.sql`select pg_logical_emit_message(true, 'test', 'something to switch behind')`
    await castor.sql`select pg_switch_wal()`
    return false
  }

  function fetchTwin(device: string): Promise<Response> {
    const headers = { authorization: `Bearer ${castor.key}` }
    return fetch(`${castor.api}/v1/twins/${device}`, { headers, signal: AbortSignal.timeout(30_000) })
  }
})

/** Said no, and when to come back. */
async function refused(ask: () => Promise<Response>): Promise<void> {
  const { status, headers } = await ask()
  expect(status).toBe(503)
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
}

interface Filler {
  free(): void
}

/** At once, long before the guard looks again, and whatever others give back it takes too. */
function fillDisk(folder: string): Filler {
  const file = join(folder, 'filler')
  const descriptor = openSync(file, 'w')
  const large = Buffer.alloc(4 * 2 ** 20)
  const small = large.subarray(0, 1024)
  const fill = () => {
    for (const piece of [large, small]) while (takes(descriptor, piece));
  }
  fill()
  const timer = setInterval(fill, 50)
  return {
    free() {
      clearInterval(timer)
      ftruncateSync(descriptor)
      closeSync(descriptor)
      rmSync(file)
    },
  }
}

function takes(descriptor: number, piece: Buffer): boolean {
  try {
    return writeSync(descriptor, piece) > 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
    throw error
  }
}

function count(text: string, what: string): number {
  return text.split(what).length - 1
}
