/** One HTTP request of a webhook: the body in the form that was asked for, signed now by every secret that is valid. */
import type { WebhookAuth } from '../../twin-models/schemas/webhook.ts'
import { type Form, type WebhookEvent, webhookBody } from './body.ts'
import { signatureHeaders } from './signature.ts'

export interface WebhookTarget {
  url: string
  form: Form
  headers: { [name: string]: string }
  auth?: WebhookAuth | null | undefined
  /** Those that sign now, the newest first. */
  secrets: string[]
}

export interface WebhookRequest {
  url: string
  headers: { [name: string]: string }
  body: string
}

/** `now`: epoch ms. */
export function requestOf({ url, form, headers, auth, secrets }: WebhookTarget, event: WebhookEvent, now: number): WebhookRequest {
  const { contentType, body } = webhookBody(event, form)
  const signed = signatureHeaders({ id: event.id, timestamp: Math.floor(now / 1000), body }, secrets as [string, ...string[]])
  return { url, headers: { ...headers, ...(auth && { authorization: authorization(auth) }), 'content-type': contentType, ...signed }, body }
}

export function authorization(auth: WebhookAuth): string {
  if ('bearer' in auth) return `Bearer ${auth.bearer}`
  return `Basic ${Buffer.from(`${auth.basic.user}:${auth.basic.password}`).toString('base64')}`
}
