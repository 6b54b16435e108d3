/** What telling people needs of the store (infra/postgres/notice-*.ts), and of the network (infra/http/outbound.ts, infra/mail/mailer.ts). */
import type { Attempt, Outcome } from '../../twin-models/core/delivery.ts'
import type { NoticeStatus } from '../../twin-models/core/notices.ts'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import type { TargetSettings } from '../../twin-models/schemas/target.ts'
import type { WebhookAuth } from '../../twin-models/schemas/webhook.ts'

export const NOTICE_KINDS = ['alarm', 'ticket'] as const
export type NoticeKind = (typeof NOTICE_KINDS)[number]

export interface NoticeLink {
  title: string
  url: string
}

/** A target as the side that tells needs it. */
export interface NoticeTarget {
  number: number
  tenant: string
  name: string
  settings: TargetSettings
  auth: WebhookAuth | null
  /** Those that sign now, the newest first. */
  secrets: string[]
}

/** A notice as it is told. Times are epoch ms. */
export interface ToldNotice {
  key: string
  kind: NoticeKind
  status: NoticeStatus
  severity: Severity
  /** Empty: of none. */
  device: string
  rule: string | null
  site: string | null
  /** Id of the alarm. */
  alarm: string | null
  subject: string
  text: string
  facts: { [name: string]: string }
  links: NoticeLink[]
  since: number
  overAt: number | null
  /** The bundle by which its target heard of it first; its own: now. */
  thread: string
}

/** What goes out in one message. */
export interface Bundle {
  /** The same for each attempt. */
  id: string
  groupKey: string
  madeAt: number
  /** The oldest of its notices was due then. */
  dueAt: number
  /** Those that stand in it in full. */
  notices: ToldNotice[]
  /** Further ones, that are only counted. */
  truncated: number
}

/** One attempt, and what it means. `startedAt` is epoch ms. */
export interface NoticeTried {
  startedAt: number
  attempt: Attempt
  outcome: Outcome
  /** It would be refused again. */
  isFinal?: true
}

/** A bundle that is to be sent now, by who asked. Nobody else is given it until the attempt is over, or cannot be under way any more. */
export interface Claimed {
  bundle: Bundle
  target: NoticeTarget
  /** The breaker of the target lets it pass as a probe only. */
  isProbe: boolean
}

/** A target that may have something to be told. */
export interface ReadyTarget {
  number: number
  tenant: string
  kind: TargetSettings['kind']
}

export interface NoticeStore {
  /** In one transaction, by who leads: what the next events of the outbox mean for notices. */
  take(): Promise<Taken>
  ready(now: number): Promise<ReadyTarget[]>
  /** `lookAt`: nothing is to be sent before then, as far as is known now. Undefined: nothing waits. */
  claim(target: number, now: number): Promise<Claimed | { lookAt: number } | undefined>
  settle(target: number, bundle: string, tried: NoticeTried & { isProbe: boolean }, now: number): Promise<void>
}

export interface Taken {
  more: boolean
  /** Events that were dropped before they were read. */
  missed: number
}

/** Renders, signs, sends, and says what came of it. Never throws. */
export type SendNotices = (target: NoticeTarget, bundle: Bundle) => Promise<NoticeTried>

/** An e-mail, with its headers. */
export interface Mail {
  to: string[]
  cc: string[]
  subject: string
  text: string
  /** Without brackets and domain. */
  id: string
  /** Of earlier ones, in the same form. */
  references: string[]
}

export interface Mailer {
  /** Why none is ever sent. Undefined: they are. */
  refusal(): string | undefined
  /** It never rejects. Of an answer the status is SMTP’s. */
  send(mail: Mail): Promise<Attempt & { isFinal?: true }>
}
