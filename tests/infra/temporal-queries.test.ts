/** The list of the Temporal UI takes every query that the documents show: a word that is a keyword there is an error, and the UI's filters fail with it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection } from '@temporalio/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectTemporal, prepareTemporal, SEARCH_ATTRIBUTES } from '../../infra/temporal/client.ts'
import { testTemporal } from '../support/temporal.ts'

const DOCUMENTS = ['temporal-ui.md', 'rollouts.md', 'webhooks.md', 'operations.md', 'rest.md']
const NAMESPACE = 'default'
let connection: Connection

beforeAll(async () => {
  connection = await connectTemporal((await testTemporal()).address)
  await prepareTemporal(connection, NAMESPACE)
})
afterAll(() => connection.close())

function shown(): string[] {
  const lines = DOCUMENTS.flatMap((name) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8').split('\n'))
  return lines.filter((line) => /^[A-Z]\w+ = '/.test(line))
}

test('every query that the documents show is one that it takes', async () => {
  expect(shown().length).toBeGreaterThanOrEqual(5)
  for (const query of shown())
    await expect(connection.workflowService.countWorkflowExecutions({ namespace: NAMESPACE, query }), query).resolves.toBeDefined()
})

test('each of our search attributes can stand in one, alone and with others', async () => {
  for (const name of Object.keys(SEARCH_ATTRIBUTES))
    for (const query of [`${name} = 'x'`, `WorkflowType = 'rollout' AND ${name} = 'x'`])
      await expect(connection.workflowService.countWorkflowExecutions({ namespace: NAMESPACE, query }), query).resolves.toBeDefined()
})
