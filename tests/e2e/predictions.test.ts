/** Predictions with real processes: the reference server as a program, a dispatcher that asks by schedule, and workers, one of which is killed. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { findPrediction, requestPrediction } from '../../infra/postgres/predictions.ts'
import { connectTemporal, prepareTemporal } from '../../infra/temporal/client.ts'
import { freePort } from '../support/free-port.ts'
import { inference, type PlayedServer, playedServer } from '../support/model-servers.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { measured, predictionModel, pump } from '../support/predictions.ts'
import { startProcess, type TestProcess } from '../support/process.ts'
import { testTemporal } from '../support/temporal.ts'
import { until } from '../support/wait.ts'

const PROGRAM = join(import.meta.dirname, '../../infra/simulator/inference/main.ts')
const INPUTS = { inputs: [{ name: 'age', path: 'attributes.age', default: 1 }], output: { probability: 'probability' } }

describe('predictions', () => {
  const namespace = `predictions-${randomUUID()}`
  let database: TestDatabase
  let environment: Record<string, string>
  const started: TestProcess[] = []
  beforeAll(async () => {
    database = await testDatabase()
    await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
    await ensurePartitions(database.sql, new Date())
    const { address } = await testTemporal()
    const connection = await connectTemporal(address)
    await prepareTemporal(connection, namespace)
    await connection.close()
    environment = {
      ...{ DATABASE_URL: database.url, TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, CASTOR_ADMIN_KEY: 'only-for-this-test' },
      CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true',
    }
  }, 180_000)
  afterAll(async () => {
    for (const process of started) await process.kill()
    await database?.drop()
  })

  /** Once it serves. */
  async function start(name: string): Promise<TestProcess> {
    const port = await freePort()
    const process = startProcess([name], { ...environment, CASTOR_HEALTH_PORT: String(port) })
    started.push(process)
    await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, `${name} serves\n${process.output()}`, 60_000)
    return process
  }

  async function asked(model: string): Promise<string> {
    const device = `p-${randomUUID()}`
    const incarnation = await pump(database.sql, device)
    return requestPrediction(database.sql, { tenant: 'demo', incarnation, device, model, requestedBy: { kind: 'rule', name: 'r' } })
  }

  test('are asked for by a schedule, of the reference model', { timeout: 120_000 }, async () => {
    const port = await freePort()
    const program = spawn(process.execPath, [PROGRAM, '--port', String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    program.stdout.on('data', (chunk) => (output += chunk))
    try {
      await until(() => output.includes('Ctrl-C'), 'it listens')
      expect(output).toContain('a reference model for the simulator’s pump: a hand-made score, not a trained model')
      expect(output).toContain(`http://127.0.0.1:${port}`)
      const { sql } = database
      for (const device of ['worn', 'well']) {
        const incarnation = await pump(sql, device, { attributes: { site: 'north' } })
        await measured(sql, incarnation, 'vibration', [[1_000, device === 'worn' ? 4.2 : 1.3]])
        await measured(sql, incarnation, 'temperature', [[1_000, device === 'worn' ? 60 : 42]])
      }
      await predictionModel(sql, 'wear', `http://127.0.0.1:${port}`, { schedule: { every: '1h', filter: "attributes.site = 'north'" } })
      await Promise.all([start('dispatcher'), start('worker')])
      const answered = await until(async () => {
        const rows = await sql`select device, probability, threshold from predictions where status = 'answered' order by device`
        return rows.length === 2 ? rows : undefined
      }, 'both are answered')
      expect(answered).toMatchObject([
        { device: 'well', probability: expect.closeTo(0.007, 2), threshold: 0.7 },
        { device: 'worn', probability: expect.closeTo(0.912, 3) },
      ])
      // By position: so webhooks have them.
      await until(
        async () => (await sql`select from outbox where kind = 'prediction-made' and position is not null`).length === 2,
        'both are told',
      )
    } finally {
      const ended = once(program, 'exit')
      program.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
      for (const process of started.splice(0)) expect(await process.stop()).toBe(0)
    }
  })

  test('survive their worker: when it is killed while the model thinks, the next one asks again', { timeout: 120_000 }, async () => {
    const server: PlayedServer = await playedServer()
    const answers: Array<() => void> = []
    server.answer = (_request, response) => answers.push(() => response.end(inference(0.8)))
    await predictionModel(database.sql, 'slow', server.url, { ...INPUTS, timeout: '30s' })
    const worker = await start('worker')
    const id = await asked('slow')
    await until(() => answers.length === 1, 'the model is asked')
    await worker.kill()
    await start('worker')
    await until(() => answers.length === 2, 'the model is asked again', 60_000)
    answers[1]!()
    await until(async () => (await findPrediction(database.sql, 'demo', id))!.status === 'answered', 'it is answered')
    const events = await database.sql`select from outbox where kind = 'prediction-made' and event::json ->> 'prediction' = ${id}`
    expect([events.length, server.requests.length]).toEqual([1, 2])
    await server.stop()
  })
})
