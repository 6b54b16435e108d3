/** The activity of webhooks in trouble, on the queue `webhooks`: a bounded piece of work, told to Temporal while it goes on. */
import type { Logger } from 'pino'
import { CastorError } from '../twin-models/errors.ts'
import type { WebhookAsk, WebhookReport } from '../workflows/messages.ts'
import { withHeartbeat } from './heartbeat.ts'

export interface WebhookActivities {
  workOffWebhook(ask: WebhookAsk): Promise<WebhookReport>
}

export interface WebhookDependencies {
  /** Begins nothing new when `stopping`. */
  workOff(ask: WebhookAsk, stopping: AbortSignal): Promise<WebhookReport>
  log: Logger
}

export function createWebhookActivities({ workOff, log }: WebhookDependencies): WebhookActivities {
  return {
    workOffWebhook: (ask) =>
      withHeartbeat(
        async (stopping) => {
          if (typeof ask.tenant !== 'string' || typeof ask.id !== 'string')
            throw new CastorError('invalid', 'The input of webhookDelivery is {"tenant": "…", "id": "…"}, of a webhook.')
          return workOff(ask, stopping)
        },
        (err) => log.warn({ tenant: ask.tenant, webhook: ask.id, err }, 'The deliveries of a webhook could not be worked off; tried again'),
      ),
  }
}
