/** One attempt of a delivery: the request is made and signed now, sent, and its end is told in the words of core/delivery.ts. */
import { type Attempt, outcomeOf } from '../../twin-models/core/delivery.ts'
import type { WebhookSender } from '../webhook-ports.ts'
import { webhookEvent } from './body.ts'
import type { Endpoint, EventRow, Try } from './ports.ts'
import { requestOf } from './request.ts'

export function createTry(sender: Pick<WebhookSender, 'post'>, now: () => number = Date.now): Try {
  return async (endpoint, row) => {
    const startedAt = now()
    const attempt = await post(endpoint, row, startedAt)
    return { startedAt, attempt, outcome: outcomeOf(attempt, now()) }
  }

  /** What cannot even be asked for, because nothing valid signs it, say, has failed too: it is shown, and holds up nobody else. */
  async function post(endpoint: Endpoint, row: EventRow, at: number): Promise<Attempt> {
    try {
      return await sender.post(requestOf(endpoint, webhookEvent(row), at))
    } catch (error) {
      return { ms: 0, error: (error as Error).message }
    }
  }
}
