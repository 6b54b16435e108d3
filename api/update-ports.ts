/** What REST needs of the outside for updates (infra/postgres/updates.ts). Times are epoch milliseconds. */
import type { IdempotencyClaim, Page } from './ports.ts'

export const UPDATE_ENDS = ['healthy', 'failed', 'rolled-back', 'timed-out', 'rejected', 'cancelled', 'skipped'] as const
export const UPDATE_STATUSES = [
  ...(['scheduled', 'notified', 'downloading', 'verifying', 'installing', 'rebooting', 'soaking'] as const),
  ...UPDATE_ENDS,
] as const
export type UpdateStatus = (typeof UPDATE_STATUSES)[number]

/** An update as stored, but for its job and link, which are its device's alone. JSON columns stay text. */
export interface UpdateRow {
  id: string
  /** Rises with every update. */
  number: number
  incarnation: number
  device: string
  rollout: string | null
  kind: 'install' | 'rollback'
  firmware: { id: string; name: string; version: string; sha256: string }
  requestedBy: string
  createdAt: number
  fromVersion: string | null
  fromSha256: string | null
  status: UpdateStatus
  /** JSON. */
  progress: string | null
  attempt: number
  /** Its device may be told until then. */
  until: number | null
  /** Last, of this attempt. */
  sentAt: number | null
  answeredAt: number | null
  statusAt: number
  endedAt: number | null
  code: string | null
  message: string | null
}

export interface NewUpdate {
  /** Of its request to the twin, too. */
  id: string
  tenant: string
  incarnation: number
  /** Id of the artifact. */
  firmware: string
  kind: UpdateRow['kind']
  requestedBy: string
  from: { version: string; sha256?: string } | undefined
  /** JSON of an UpdateRequest. */
  request: string
}

export interface Updates {
  /**
   * The update and the request to its twin, in one transaction; with `claim`, and its id, under an Idempotency-Key. 'gone': there is no such
   * registration (any more); 'claimed': the key is taken. Nothing was written then.
   */
  insert(update: NewUpdate, claim?: IdempotencyClaim): Promise<'written' | 'gone' | 'claimed'>
  find(tenant: string, id: string): Promise<UpdateRow | undefined>
  /** Newest first. */
  list(query: {
    tenant: string
    /** Of its present registration. */
    device: string | undefined
    rollout: string | undefined
    statuses: readonly UpdateStatus[] | undefined
    page: Page<number>
  }): Promise<UpdateRow[]>
  /** Those of `ids` that ended. */
  ended(ids: string[]): Promise<Array<{ id: string }>>
}
