import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../infra/config.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'
import { connectTemporal, prepareTemporal, SEARCH_ATTRIBUTES } from '../../infra/temporal/client.ts'
import { startTemporalServer, type TemporalServer } from '../../infra/temporal/server.ts'
import { freePort } from '../support/free-port.ts'
import { testTemporal } from '../support/temporal.ts'

describe('the Temporal dev server', () => {
  let folder: string
  const started: TemporalServer[] = []
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-temporal-'))
  })
  afterAll(async () => {
    for (const server of started) await server.stop()
    await rm(folder, { recursive: true })
  })

  async function start() {
    const config = readConfig()
    const server = await startTemporalServer({
      binary: await temporalBinary({ cliPath: config.temporalCliPath, cacheDir: config.cacheDir, say: () => {} }),
      host: '127.0.0.1',
      port: await freePort(),
      uiPort: await freePort(),
      databaseFile: join(folder, 'temporal.db'),
      namespace: 'plants',
      logFile: join(folder, 'temporal.log'),
    })
    started.push(server)
    return server
  }

  test('has the namespace and search attributes, keeps its data, and starts a second time on its file', async () => {
    for (const round of [1, 2]) {
      const server = await start()
      const connection = await connectTemporal(server.address)
      await prepareTemporal(connection, 'plants')
      if (round === 1)
        await connection.workflowService.startWorkflowExecution({
          namespace: 'plants',
          workflowId: 'kept',
          workflowType: { name: 'nothing' },
          taskQueue: { name: 'nobody' },
          requestId: 'once',
        })
      const { workflowExecutionInfo } = await connection.workflowService.describeWorkflowExecution({
        namespace: 'plants',
        execution: { workflowId: 'kept' },
      })
      expect(workflowExecutionInfo?.execution?.workflowId).toBe('kept')
      await connection.close()
      await server.stop()
      await server.ended
    }
  })

  test('any Temporal gets the namespace and the search attributes that are missing, and a second time nothing changes', async () => {
    const { address } = await testTemporal()
    const connection = await connectTemporal(address)
    await prepareTemporal(connection, 'made-by-castor')
    await prepareTemporal(connection, 'made-by-castor')
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'made-by-castor' })
    expect(Object.keys(customAttributes ?? {})).toEqual(expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)))
    await connection.close()
  })
})
