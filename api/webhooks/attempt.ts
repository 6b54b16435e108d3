/** One attempt of a delivery: the request is made and signed now, sent, and its end is told in the words of core/delivery.ts. */
import { outcomeOf } from '../../twin-models/core/delivery.ts'
import type { WebhookSender } from '../webhook-ports.ts'
import { webhookEvent } from './body.ts'
import type { Try } from './ports.ts'
import { requestOf } from './request.ts'

export function createTry(sender: Pick<WebhookSender, 'post'>, now: () => number = Date.now): Try {
  return async (endpoint, row) => {
    const startedAt = now()
    const attempt = await sender.post(requestOf(endpoint, webhookEvent(row), startedAt))
    return { startedAt, attempt, outcome: outcomeOf(attempt, now()) }
  }
}
