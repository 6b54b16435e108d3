/** Loaded first in each workflow thread (workflow-threads.ts): calls into the sandbox go without a watchdog, and promises without a hook. */
import v8 from 'node:v8'
import vm from 'node:vm'
import { getEnvironmentData } from 'node:worker_threads'
import { THREADS_KEY } from './workflow-threads.ts'

const busySince = getEnvironmentData(THREADS_KEY) as BigInt64Array
const thread = Number(Atomics.add(busySince, 0, 1n)) + 1

const { runInContext } = vm.Script.prototype
vm.Script.prototype.runInContext = function (context, { timeout: _, ...options } = {}) {
  Atomics.store(busySince, thread, BigInt(Date.now()))
  try {
    return runInContext.call(this, context, options)
  } finally {
    Atomics.store(busySince, thread, 0n)
  }
}

// The SDK takes an error for a runtime that has no promise hooks, and does without.
v8.promiseHooks.createHook = () => {
  throw new Error('Workflow threads of Castor have no promise hooks')
}
