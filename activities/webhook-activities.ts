/** The activity of webhooks in trouble, on the queue `webhooks`: a bounded piece of work, told to Temporal while it goes on. */
import { Context } from '@temporalio/activity'
import type { Logger } from 'pino'
import type { WebhookAsk, WebhookReport } from '../workflows/messages.ts'
import { toFailure } from './failures.ts'

export interface WebhookActivities {
  workOffWebhook(ask: WebhookAsk): Promise<WebhookReport>
}

export interface WebhookDependencies {
  workOff(ask: WebhookAsk, alive: () => void): Promise<WebhookReport>
  log: Logger
}

export function createWebhookActivities({ workOff, log }: WebhookDependencies): WebhookActivities {
  return {
    async workOffWebhook(ask) {
      try {
        return await workOff(ask, () => Context.current().heartbeat())
      } catch (error) {
        log.warn({ tenant: ask.tenant, webhook: ask.id, err: error }, 'The deliveries of a webhook could not be worked off; tried again')
        throw toFailure(error)
      }
    },
  }
}
