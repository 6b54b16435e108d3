/** One attempt to send a bundle: made for the kind of its target, signed now, sent, and its end told in the words of core/delivery.ts. */
import { type Attempt, outcomeOf } from '../../twin-models/core/delivery.ts'
import type { WebhookTargetSettings } from '../../twin-models/schemas/target.ts'
import type { WebhookAuth } from '../../twin-models/schemas/webhook.ts'
import type { WebhookSender } from '../webhook-ports.ts'
import { authorization, type WebhookRequest } from '../webhooks/request.ts'
import { signatureHeaders } from '../webhooks/signature.ts'
import { mailOf } from './mail-text.ts'
import type { Bundle, Mailer, NoticeTarget, SendNotices } from './ports.ts'
import { messageId } from './told.ts'
import { webhookBody } from './webhook-bodies.ts'

export interface SendOptions {
  sender: Pick<WebhookSender, 'post'>
  mailer: Mailer
  /** Where REST is reached from outside. */
  publicUrl: string
  now?: () => number
}

export function createSend({ sender, mailer, publicUrl, now = Date.now }: SendOptions): SendNotices {
  return async (target, bundle) => {
    const startedAt = now()
    const { isFinal, ...attempt } = await attemptOf(target, bundle, startedAt)
    return { startedAt, attempt, outcome: outcomeOf(attempt, now()), ...(isFinal && { isFinal }) }
  }

  /** What cannot even be asked for, because nothing valid signs it, say, has failed too: it is shown, and holds up nobody else. */
  async function attemptOf(target: NoticeTarget, bundle: Bundle, at: number): Promise<Attempt & { isFinal?: true }> {
    try {
      const { settings } = target
      if (settings.kind === 'email') return await mailer.send(mailOf(target, settings, bundle, publicUrl))
      return await sender.post(requestOf(target, settings, bundle, publicUrl, at))
    } catch (error) {
      return { ms: 0, error: (error as Error).message }
    }
  }
}

function requestOf(
  target: NoticeTarget & { auth: WebhookAuth | null },
  { url, form, headers }: WebhookTargetSettings,
  bundle: Bundle,
  publicUrl: string,
  at: number,
): WebhookRequest {
  const body = webhookBody(target, bundle, form, publicUrl)
  const signed = signatureHeaders({ id: messageId(bundle.id), timestamp: Math.floor(at / 1000), body }, target.secrets)
  const { auth } = target
  return {
    url,
    headers: { ...headers, ...(auth && { authorization: authorization(auth) }), 'content-type': 'application/json', ...signed },
    body,
  }
}
