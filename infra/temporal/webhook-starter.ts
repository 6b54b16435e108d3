/**
 * Tells the workflow of a webhook in trouble to look, and starts it where none runs. What is to be told stands in Postgres: while Temporal is
 * away it waits there, and first attempts go on.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Client, Connection } from '@temporalio/client'
import type { Logger } from 'pino'
import { WEBHOOK_LOOK_SIGNAL, WEBHOOK_WORKFLOW, type WebhookLook, type WebhookStart } from '../../workflows/messages.ts'
import { WEBHOOKS_QUEUE } from '../../workflows/task-queues.ts'
import type { Sql } from '../postgres/connect.ts'
import { type TroubledWebhook, troubledWebhooks, webhookNudged } from '../postgres/webhook-trouble.ts'

const LOOK_MS = 1_000
const CALL_TIMEOUT_MS = 5_000
const CLOSE_MS = 500

export interface WebhookStarterOptions {
  sql: Sql
  address: string
  namespace: string
  log: Logger
}

/** `look`: one round; by who leads. */
export function createWebhookStarter({ sql, address, namespace, log }: WebhookStarterOptions) {
  const connection = Connection.lazy({ address, connectTimeout: CALL_TIMEOUT_MS })
  const { workflow } = new Client({ connection, namespace })
  let lookedAt = 0
  let looking: Promise<void> | undefined
  let failing = false

  /** At most once a second, and never two rounds at once. Does not wait for it. */
  function look(): void {
    if (looking || performance.now() - lookedAt < LOOK_MS) return
    lookedAt = performance.now()
    looking = round().finally(() => {
      looking = undefined
    })
  }

  async function round(): Promise<void> {
    try {
      // One that Temporal does not take holds up no other.
      const ends = await Promise.allSettled((await troubledWebhooks(sql)).map(tell))
      const failed = ends.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
      if (failed) throw failed.reason
      failing = false
    } catch (err) {
      if (!failing) log.warn({ err }, 'Webhooks in trouble could not be told to Temporal; tried again')
      failing = true
    }
  }

  async function tell(webhook: TroubledWebhook): Promise<void> {
    await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, () => nudge(webhook))
    await webhookNudged(sql, webhook)
  }

  async function nudge({ tenant, id }: TroubledWebhook): Promise<void> {
    const [start, signal]: [WebhookStart, WebhookLook] = [{ tenant, id }, {}]
    await workflow.signalWithStart(WEBHOOK_WORKFLOW, {
      workflowId: `webhook:${tenant}:${id}`,
      taskQueue: WEBHOOKS_QUEUE,
      args: [start],
      signal: WEBHOOK_LOOK_SIGNAL,
      signalArgs: [signal],
    })
  }

  return {
    look,
    /** Does not wait for a Temporal that does not answer. */
    close: async () => {
      await Promise.race([looking, pause(CLOSE_MS, undefined, { ref: false })])
      await connection.close()
    },
  }
}
