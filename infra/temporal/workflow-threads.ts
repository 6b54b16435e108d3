/**
 * The SDK's workflow threads without two services that take more than half of their time (docs/decisions/0012): a stack trace of every promise,
 * and a watchdog thread for each of the twenty or so calls into the sandbox that one decision takes. In place of the watchdogs stands one look a
 * second: workflow code that does not come back ends the process, which is started again, and Temporal gives its task to another run.
 *
 * The SDK starts its threads itself, so what they load first (workflow-thread.ts) is added to whatever thread it starts.
 */
import worker_threads, { setEnvironmentData, type WorkerOptions } from 'node:worker_threads'

/** More than the threads of a process: one a worker. */
const MOST_THREADS = 64
const LOOK_MS = 1_000
/** The SDK's own limit is 5 s, for one call. */
export const STUCK_MS = 10_000

/** What the threads tell: since when each of them is in workflow code, in epoch milliseconds; 0: it is not. The first number counts the threads. */
export const THREADS_KEY = 'castor.workflow-threads'

const THREAD = new URL('./workflow-thread.ts', import.meta.url).href

/** Before the first Worker is made. Returns what ends the looking. */
export function quickenWorkflowThreads(onStuck: (forMs: number) => void, stuckMs = STUCK_MS): () => void {
  const busySince = new BigInt64Array(new SharedArrayBuffer(8 * (MOST_THREADS + 1)))
  setEnvironmentData(THREADS_KEY, busySince)
  const { Worker } = worker_threads
  worker_threads.Worker = class extends Worker {
    constructor(file: string | URL, options: WorkerOptions = {}) {
      const isWorkflowThread = /workflow-worker-thread/.test(String(file))
      super(file, isWorkflowThread ? { ...options, execArgv: [...(options.execArgv ?? process.execArgv), '--import', THREAD] } : options)
    }
  }
  const timer = setInterval(() => {
    const now = Date.now()
    for (let i = 1; i <= MOST_THREADS; i++) {
      const since = Number(Atomics.load(busySince, i))
      if (since > 0 && now - since > stuckMs) return onStuck(now - since)
    }
  }, LOOK_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
    worker_threads.Worker = Worker
  }
}
