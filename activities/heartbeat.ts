/** Long activities: Temporal is told that they go on, and a worker that stops does not wait for them. */
import { Context } from '@temporalio/activity'
import { toFailure } from './failures.ts'

/** Well below their timeouts in workflows/activity-options.ts. */
const HEARTBEAT_MS = 3_000

/** `troubled`: it failed, and not because the worker stops. */
export async function withHeartbeat<T>(run: (stopping: AbortSignal) => Promise<T>, troubled: (error: unknown) => void): Promise<T> {
  const context = Context.current()
  const alive = setInterval(() => context.heartbeat(), HEARTBEAT_MS)
  try {
    return await Promise.race([run(context.cancellationSignal), context.cancelled])
  } catch (error) {
    if (!context.cancellationSignal.aborted) troubled(error)
    throw toFailure(error)
  } finally {
    clearInterval(alive)
  }
}
