/**
 * `?consistency=strong`: a request goes through the twin's inbox behind all that was processed before; when it is answered, the
 * workflow has decided that, and is asked for its document. The latest values are read after that.
 *
 * All that wait share one poll of the answers, however many they are.
 */
import { randomUUID } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { TwinRequests, TwinRow, Twins, TwinWorkflows } from '../ports.ts'

/** Undefined: the device went away meanwhile. */
export type StrongRead = (tenant: string, row: TwinRow) => Promise<TwinRow | undefined>

export interface StrongReadDeps {
  twins: Twins
  requests: TwinRequests
  workflows: TwinWorkflows
  /** How long an answer is waited for. */
  waitMs?: number
  pollMs?: number
}

const MOST_WAITING = 1_000

export function createStrongRead({ twins, requests, workflows, waitMs = 5_000, pollMs = 25 }: StrongReadDeps): StrongRead {
  const answers = createAnswers(requests, pollMs)
  return async (tenant, row) => {
    const id = randomUUID()
    await requests.insert({ id, tenant, incarnation: row.incarnation, kind: 'deliver', body: '{}' })
    await answers.of(id, waitMs)
    const twin = await workflows.query({ tenant, device: row.device, incarnation: row.incarnation })
    const current = await twins.find(tenant, row.device)
    if (!current || current.incarnation !== row.incarnation) return undefined
    // Postgres may be ahead by now, never behind what the answer said; without a workflow it has all there is.
    if (!twin || twin.revision < current.revision) return current
    return { ...current, revision: twin.revision, decided: JSON.stringify(twin.decided) }
  }
}

interface Waiting {
  resolve(): void
  reject(error: Error): void
  until: number
}

function createAnswers(requests: TwinRequests, pollMs: number) {
  const waiting = new Map<string, Waiting>()
  let polling = false

  async function poll(): Promise<void> {
    while (waiting.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, pollMs))
      try {
        for (const { id } of await requests.answered([...waiting.keys()])) {
          waiting.get(id)?.resolve()
          waiting.delete(id)
        }
      } catch {
        // The database is in trouble: those who wait learn it at their deadline, unless it is over by then.
      }
      giveUpLate()
    }
    polling = false
  }

  function giveUpLate(): void {
    const now = performance.now()
    for (const [id, { until, reject }] of waiting) {
      if (until > now) continue
      waiting.delete(id)
      reject(
        new CastorError('unavailable', 'The twin did not answer in time. Read without consistency=strong, or try again.', {
          retryAfterSeconds: 5,
        }),
      )
    }
  }

  return {
    of(id: string, waitMs: number): Promise<void> {
      if (waiting.size >= MOST_WAITING) {
        return Promise.reject(new CastorError('unavailable', 'Too many wait for their twins already.', { retryAfterSeconds: 2 }))
      }
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject, until: performance.now() + waitMs })
        if (polling) return
        polling = true
        void poll()
      })
    },
  }
}
