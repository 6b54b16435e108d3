/** What REST needs of the outside for targets and notices: infra/postgres/{targets,notices}.ts, infra/mail/mailer.ts. */
import type { Breaker, StoredAttempt } from '../twin-models/core/delivery.ts'
import type { NoticeState, NoticeStatus } from '../twin-models/core/notices.ts'
import type { Severity } from '../twin-models/core/rule-types.ts'
import type { TargetSettings } from '../twin-models/schemas/target.ts'
import type { WebhookAuth } from '../twin-models/schemas/webhook.ts'
import type { NoticeKind } from './notify/ports.ts'
import type { Page } from './ports.ts'
import type { WebhookSecret } from './webhook-ports.ts'

export const MOST_TARGETS = 100

/** A target as stored. Times are epoch milliseconds. */
export interface Target {
  number: number
  tenant: string
  name: string
  settings: TargetSettings
  auth: WebhookAuth | null
  /** Of a webhook, the newest first. */
  secrets: WebhookSecret[]
  health: Breaker
  /** Notices that have not ended, as far as was counted; `more`: there may be further ones. */
  open: { count: number; more: boolean }
  createdAt: number
  updatedAt: number
}

export interface NewTarget {
  name: string
  settings: TargetSettings
  auth: WebhookAuth | null
  /** Of a webhook that has none yet. */
  secret: string
}

export interface Targets {
  /** As a whole; the secret of a webhook stays, and health begins anew. 'too-many': the tenant has MOST_TARGETS. */
  put(tenant: string, target: NewTarget): Promise<{ target: Target; isNew: boolean; secret: string | undefined } | 'too-many'>
  find(tenant: string, name: string): Promise<Target | undefined>
  /** By name. */
  list(tenant: string, page: Page<string>): Promise<Target[]>
  /** What waits for it fails. False: there is none. A list: live rules that tell it; nothing was removed. */
  remove(tenant: string, name: string): Promise<boolean | string[]>
  /** The secret before signs too, until then. Undefined: there is no webhook of this name. */
  rotate(tenant: string, name: string, secret: string, oldUntil: number): Promise<Target | undefined>
}

/** A notice as stored. Times are epoch milliseconds. */
export interface NoticeRow {
  id: number
  target: string
  kind: NoticeKind
  key: string
  /** Id of the alarm. */
  alarm: string | null
  device: string
  rule: string | null
  status: NoticeStatus
  state: NoticeState
  reason: string | null
  severity: Severity
  subject: string
  text: string
  createdAt: number
  dueAt: number
  /** Held until then by quiet hours. */
  heldUntil: number | null
  endedAt: number | null
  /** What it went out with. */
  bundle: string | null
  /** It stood there in full. */
  shown: boolean
  /** The newest last. */
  attempts: StoredAttempt[]
  nextAttemptAt: number | null
}

export interface NoticeQuery {
  target: string | undefined
  state: NoticeState | undefined
  alarm: { incarnation: number; n: number } | undefined
  key: string | undefined
  page: Page<number>
}

export interface Notices {
  /** Newest first. */
  list(tenant: string, query: NoticeQuery): Promise<NoticeRow[]>
  find(tenant: string, id: number): Promise<NoticeRow | undefined>
  /**
   * It goes out now: one that has failed, in a message of its own, or one that waits to be tried again, with its message. False: it is neither, or
   * its target is gone, or its alarm is over.
   */
  retry(tenant: string, id: number): Promise<boolean>
}
