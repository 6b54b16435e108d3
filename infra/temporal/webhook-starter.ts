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
import { createRounds } from './rounds.ts'

const CALL_TIMEOUT_MS = 5_000
const CLOSE_MS = 500

export interface WebhookStarterOptions {
  sql: Sql
  address: string
  namespace: string
  log: Logger
}

/** `look`: a round begins, where none is under way; by who leads, about once a second. */
export function createWebhookStarter({ sql, address, namespace, log }: WebhookStarterOptions) {
  const connection = Connection.lazy({ address, connectTimeout: CALL_TIMEOUT_MS })
  const { workflow } = new Client({ connection, namespace })
  const rounds = createRounds(round, (err) => log.warn({ err }, 'Webhooks in trouble could not be told to Temporal; tried again'))

  async function round(): Promise<void> {
    // One that Temporal does not take holds up no other.
    const ends = await Promise.allSettled((await troubledWebhooks(sql)).map(tell))
    const failed = ends.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
    if (failed) throw failed.reason
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
    look: rounds.begin,
    /** Does not wait for a Temporal that does not answer. */
    close: async () => {
      await Promise.race([rounds.ended(), pause(CLOSE_MS, undefined, { ref: false })])
      await connection.close()
    },
  }
}
