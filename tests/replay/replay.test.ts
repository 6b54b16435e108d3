/**
 * Recorded histories through today's workflow code: twins and bulk changes outlive deployments, and a change in the order of commands without
 * `patched` would stop every running one. tests/replay/record.ts makes the recordings.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker'
import { DeterminismViolationError } from '@temporalio/workflow'
import { beforeAll, expect, test } from 'vitest'
import { type WorkflowBundle, workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import { COVERED, read, recordings } from './recordings.ts'

const logger = new DefaultLogger('ERROR', () => {})
let bundle: WorkflowBundle

beforeAll(async () => {
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } } })
  bundle = await workflowBundle({ folder: join(tmpdir(), 'castor-test-bundles'), logger })
})

test.each(recordings())('%s replays', async (file) => {
  const { workflowId, history } = read(file)
  await Worker.runReplayHistory({ workflowBundle: bundle }, history, workflowId)
})

test('code that would have done something else is found out', async () => {
  const { history } = read('a-life-in-the-field.json')
  // Under another id the workflow refuses to run, which this history does not say.
  const replay = Worker.runReplayHistory({ workflowBundle: bundle }, history, 'twin:demo:another:1')
  await expect(replay).rejects.toBeInstanceOf(DeterminismViolationError)
})

test('every kind of decision stands in a recording', () => {
  const covered = new Set(recordings().flatMap((file) => read(file).covers))
  expect(COVERED.filter((what) => !covered.has(what))).toEqual([])
})
