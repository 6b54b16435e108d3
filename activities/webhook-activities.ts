/** The activity of webhooks in trouble, on the queue `webhooks`: a bounded piece of work, told to Temporal while it goes on. */
import { Context } from '@temporalio/activity'
import type { Logger } from 'pino'
import { CastorError } from '../twin-models/errors.ts'
import type { WebhookAsk, WebhookReport } from '../workflows/messages.ts'
import { toFailure } from './failures.ts'

export interface WebhookActivities {
  workOffWebhook(ask: WebhookAsk): Promise<WebhookReport>
}

export interface WebhookDependencies {
  /** Begins nothing new when `stopping`. */
  workOff(ask: WebhookAsk, stopping: AbortSignal): Promise<WebhookReport>
  log: Logger
}

/** Well below its timeout in workflows/activity-options.ts. */
const HEARTBEAT_MS = 4_000

export function createWebhookActivities({ workOff, log }: WebhookDependencies): WebhookActivities {
  return {
    async workOffWebhook(ask) {
      const { heartbeat, cancelled, cancellationSignal } = context()
      const alive = setInterval(heartbeat, HEARTBEAT_MS)
      try {
        if (typeof ask.tenant !== 'string' || typeof ask.id !== 'string')
          throw new CastorError('invalid', 'The input of webhookDelivery is {"tenant": "…", "id": "…"}, of a webhook.')
        // A worker that stops does not wait for receivers.
        return await Promise.race([workOff(ask, cancellationSignal), cancelled])
      } catch (error) {
        if (!cancellationSignal.aborted)
          log.warn({ tenant: ask.tenant, webhook: ask.id, err: error }, 'The deliveries of a webhook could not be worked off; tried again')
        throw toFailure(error)
      } finally {
        clearInterval(alive)
      }
    },
  }
}

function context() {
  const current = Context.current()
  return { heartbeat: () => current.heartbeat(), cancelled: current.cancelled, cancellationSignal: current.cancellationSignal }
}
