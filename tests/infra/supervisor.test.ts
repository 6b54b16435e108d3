import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isAlive, type ProcessIdentity } from '../../infra/processes/identity.ts'
import { processPart } from '../../infra/processes/parts.ts'
import { type Part, Supervisor } from '../../infra/processes/supervisor.ts'
import { until } from '../support/wait.ts'

const SCRIPT = join(import.meta.dirname, 'fixtures', 'part.mjs')

describe('the supervisor', () => {
  let folder: string
  let said: string[]
  let notes: string[]
  let signalled: string[]
  let history: string[]
  let alive: Map<string, ProcessIdentity>
  let supervisor: Supervisor

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-supervisor-'))
    said = []
    notes = []
    signalled = []
    history = []
    alive = new Map()
    supervisor = new Supervisor({
      say: (line) => void said.push(line),
      onStarted: (name, identity) => {
        alive.set(name, identity)
      },
      onEnded: (name) => void history.push(`-${name}`),
      backoff: { firstMs: 5, mostMs: 20, healthyMs: 60_000 },
      stopMs: 3_000,
    })
  })
  afterEach(async () => {
    await supervisor.stop([])
    await rm(folder, { recursive: true })
  })

  function part(name: string, how = 'obey', stopMs = 2_000): Part {
    return processPart({
      name,
      env: {},
      logFile: join(folder, `${name}.log`),
      stopMs,
      note: (entry) => void notes.push(entry.msg!),
      onSignalled: (who) => void signalled.push(who),
      args: [SCRIPT, how],
    })
  }

  test('starts again what is killed, and says why', async () => {
    await supervisor.run(part('bridge'))
    const first = alive.get('bridge')!
    process.kill(first.pid, 'SIGKILL')
    await until(() => alive.get('bridge') !== first, 'it runs again')
    expect(said).toEqual(['bridge ended: killed by SIGKILL. It is started again in 0.005 s'])
    expect(isAlive(alive.get('bridge')!)).toBe(true)
  })

  test('waits longer from failure to failure, up to a bound, and gives the reason of the process', async () => {
    await supervisor.run(part('api', 'fail'))
    await until(() => said.length >= 4, 'four failures')
    expect(said.slice(0, 4)).toEqual(
      ['0.005', '0.01', '0.02', '0.02'].map((wait) => `api ended: it did not like it. It is started again in ${wait} s`),
    )
  })

  test('ends all in the order given, and twice is the same end', async () => {
    for (const name of ['postgres', 'bridge', 'worker', 'api']) await supervisor.run(part(name))
    const order = ['bridge', 'api', 'worker', 'postgres']
    await Promise.all([supervisor.stop(order), supervisor.stop(order)])
    expect(history.filter((entry) => entry.startsWith('-'))).toEqual(['-bridge', '-api', '-worker', '-postgres'])
    expect([...alive.values()].some(isAlive)).toBe(false)
    expect(said).toEqual([])
  })

  test('kills what does not end in its time', async () => {
    await supervisor.run(part('stubborn', 'stubborn', 100))
    await supervisor.stop(['stubborn'])
    expect(isAlive(alive.get('stubborn')!)).toBe(false)
  })

  test('stops also while a part waits for its next start', async () => {
    supervisor = new Supervisor({ say: (line) => void said.push(line), backoff: { firstMs: 3_600_000, mostMs: 3_600_000, healthyMs: 1 } })
    await supervisor.run(part('api', 'fail'))
    await until(() => said.length > 0, 'it ended')
    await supervisor.stop(['api'])
  })

  test('a part that cannot start the first time is an error', async () => {
    const broken: Part = {
      name: 'postgres',
      stopMs: 1_000,
      start: async () => {
        throw new Error('no disk')
      },
    }
    await expect(supervisor.run(broken)).rejects.toThrow('no disk')
  })

  test('hears what is noteworthy, and that a process was signalled alone; then it ends and starts again', async () => {
    await supervisor.run(part('worker'))
    await until(() => notes.length === 1, 'its note')
    const first = alive.get('worker')!
    process.kill(first.pid, 'SIGTERM')
    await until(() => signalled.includes('worker'), 'the signal is told')
    await supervisor.restart('worker')
    await until(() => alive.get('worker') !== first, 'it runs again')
    expect(said[0]).toMatch(/^worker ended: exit status 0/)
  })
})
