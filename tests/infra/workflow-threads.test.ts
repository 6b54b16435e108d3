/** The threads that the SDK starts for workflows, and what is taken out of them. */
import worker_threads from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import { quickenWorkflowThreads } from '../../infra/temporal/workflow-threads.ts'

const THREAD = new URL('./fixtures/workflow-worker-thread.mjs', import.meta.url)

let end: () => void = () => {}
afterEach(() => end())

test('calls into the sandbox have no watchdog, promises no hook, and the main thread sees one that does not come back', async () => {
  const stuck = Promise.withResolvers<number>()
  end = quickenWorkflowThreads(stuck.resolve, 300)
  const thread = new worker_threads.Worker(THREAD)
  try {
    const first = await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
    expect(first).toEqual({ result: 42, hooks: 'Workflow threads of Castor have no promise hooks' })
    // Its own limit of 50 ms would have ended the endless loop.
    thread.postMessage('loop')
    expect(await stuck.promise).toBeGreaterThan(300)
  } finally {
    await thread.terminate()
  }
})

test('other threads, and threads after it has ended, are as they are', async () => {
  const { Worker } = worker_threads
  quickenWorkflowThreads(() => {})()
  expect(worker_threads.Worker).toBe(Worker)
})
