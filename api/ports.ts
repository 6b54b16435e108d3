/** What the HTTP side needs of the outside. infra implements it (infra/postgres, infra/temporal, infra/processes/api.ts); tests may fake parts. */
import type { Progress } from '../twin-models/core/pacing.ts'
import type { CompiledFilter } from '../twin-models/filter/sql.ts'
import type { DeviceModel } from '../twin-models/model.ts'
import type { BulkRequest } from '../twin-models/schemas/bulk-change.ts'

/** A page of a list, by key: whatever is inserted or removed meanwhile, nothing is shown twice and nothing that stayed is left out. */
export interface Page<Key> {
  after: Key | undefined
  limit: number
}

/** A registered device as stored. JSON columns stay text: most of them go out as they are. Times are epoch milliseconds. */
export interface DeviceRow {
  incarnation: number
  device: string
  model: string
  modelVersion: string
  /** JSON. */
  attributes: string
  createdAt: number
  updatedAt: number
}

export interface NewDevice {
  tenant: string
  device: string
  model: string
  modelVersion: string
  /** JSON. */
  attributes: string
  tokenHash: Uint8Array
  /** Who registers it: the name of the API key. */
  by: string
}

export interface Registration {
  incarnation: number
  createdAt: number
}

/** What was answered to a request with this Idempotency-Key. */
export interface StoredAnswer {
  requestHash: Uint8Array
  salt: Uint8Array
  response: string
}

/** The claim of an Idempotency-Key that goes in with the registration, in one transaction. */
export interface IdempotencyClaim {
  keyHash: Uint8Array
  requestHash: Uint8Array
  salt: Uint8Array
}

export interface Registry {
  /** Undefined: there is a device of that id. */
  insert(device: NewDevice): Promise<Registration | undefined>
  /** As insert, and stores what is answered under the key. 'claimed': the key is taken (perhaps this instant); nothing was changed. */
  insertOnce(
    device: NewDevice,
    claim: IdempotencyClaim,
    responseOf: (made: Registration) => string,
  ): Promise<Registration | 'claimed' | undefined>
  storedAnswer(tenant: string, keyHash: Uint8Array): Promise<StoredAnswer | undefined>
  find(tenant: string, device: string): Promise<DeviceRow | undefined>
  list(tenant: string, page: Page<string>, filter: CompiledFilter | undefined): Promise<DeviceRow[]>
  /**
   * Changes one device under its row's lock. A changed model also leaves a `configured` request for the twin, whose id is returned.
   * Undefined: there is none.
   */
  update(
    tenant: string,
    device: string,
    change: (row: DeviceRow) => DeviceChange,
  ): Promise<{ row: DeviceRow; request: string | undefined } | undefined>
  /** `by`: who; the name of the API key. False: there is none. */
  remove(tenant: string, device: string, by: string): Promise<boolean>
  /** False: there is none. The former token is void at once; bridges end its connections within seconds. */
  changeToken(tenant: string, device: string, tokenHash: Uint8Array): Promise<boolean>
}

export interface DeviceChange {
  /** JSON. */
  attributes: string
  model: string
  modelVersion: string
}

/** First parameter that a filter may use in `Registry.list` and `Twins.search`: those before are the tenant and the page. */
export const FIRST_FILTER_PARAMETER = 3

export interface TwinRow extends DeviceRow {
  revision: number
  /** JSON: the decided part. */
  decided: string
  /** JSON: latest values. */
  latest: string
  /** 0: never. */
  lastSeenAt: number
  connected: boolean
  /** The newest desired version that was handed to a connection. Not joined in a search. */
  sentVersion?: number | null
  /** JSON. Null: it never told a time of its own. */
  clock: string | null
}

export interface Twins {
  find(tenant: string, device: string): Promise<TwinRow | undefined>
  search(tenant: string, page: Page<string>, filter: CompiledFilter | undefined): Promise<TwinRow[]>
}

export interface HistoryItem {
  property: number
  name: string
  ts: number
  receivedAt: number
  /** One of both. */
  number: number | null
  /** JSON. */
  other: string | null
}

/** One thing that a twin decided. */
export interface DecidedEvent {
  revision: number
  /** Its place among those of one decision. */
  n: number
  /** When it was decided. */
  time: number
  kind: string
  /** JSON, without kind and cause. */
  event: string
  /** JSON. */
  cause: string
}

export interface History {
  /** Newest first; of one time, by property. `names` undefined: all of the device. Undefined: there is no such device. */
  readings(query: {
    tenant: string
    device: string
    name: string | undefined
    from: number | undefined
    /** Exclusive. */
    to: number | undefined
    page: Page<{ ts: number; property: number }>
  }): Promise<HistoryItem[] | undefined>
  /** In the order of the decisions, or against it. Undefined: there is no such device. */
  decisions(query: {
    tenant: string
    device: string
    /** Undefined: all. */
    kinds: string[] | undefined
    from: number | undefined
    /** Exclusive. */
    to: number | undefined
    newestFirst: boolean
    page: Page<{ revision: number; n: number }>
  }): Promise<DecidedEvent[] | undefined>
}

export interface DeadLetterRow {
  id: number
  receivedAt: number
  device: string
  topic: string
  reason: string
  path: string | null
  detail: string
  messageId: string | null
  size: number
  raw: Uint8Array
  /** Bytes of raw that are stored. */
  stored: number
}

export interface DeadLetters {
  /** Newest first. `raw` is cut at `rawBytes`. */
  list(tenant: string, query: { device?: string; reason?: string; page: Page<number>; rawBytes: number }): Promise<DeadLetterRow[]>
  find(tenant: string, id: number): Promise<DeadLetterRow | undefined>
}

export interface RequestRow {
  id: string
  /** Null: the device is gone. */
  device: string | null
  kind: string
  createdAt: number
  sealed: boolean
  answeredAt: number | null
  /** JSON. */
  answer: string | null
}

export interface TwinRequests {
  /** False: there is no such registration (any more). */
  insert(request: { id: string; tenant: string; incarnation: number; kind: string; body: string }): Promise<boolean>
  /** Those of `ids` that are answered. */
  answered(ids: string[]): Promise<Array<{ id: string; answer: string | null }>>
  find(tenant: string, id: string): Promise<RequestRow | undefined>
}

export interface BulkRow {
  id: string
  number: number
  status: string
  reason: string | null
  filter: string
  /** JSON. */
  change: string
  /** JSON. */
  pace: string
  requestedBy: string
  createdAt: number
  endedAt: number | null
  progress: Progress
}

export interface BulkTargetRow {
  number: number
  device: string
  status: string
  reason: string | null
  startedAt: number | null
  endedAt: number | null
}

export interface BulkChanges {
  create(change: BulkRequest & { id: string; tenant: string; by: string }): Promise<void>
  preview(
    tenant: string,
    request: BulkRequest,
  ): Promise<{ total: number; differ: number; skipped: Array<{ reason: string; count: number }>; sample: string[] }>
  find(tenant: string, id: string): Promise<BulkRow | undefined>
  /** Newest first. */
  list(tenant: string, page: Page<number>): Promise<BulkRow[]>
  targets(id: string, status: string | undefined, page: Page<number>): Promise<BulkTargetRow[]>
  /** False: there is none, or it has ended. */
  ask(tenant: string, id: string, wanted: 'pause' | 'resume' | 'cancel'): Promise<boolean>
}

/** The workflow itself. */
export interface TwinWorkflows {
  /** The decided part and its revision. Undefined: no such workflow. Rejects with `unavailable` after its timeout. */
  query(twin: { tenant: string; device: string; incarnation: number }): Promise<{ revision: number; decided: unknown } | undefined>
}

export interface ApiKey {
  tenant: string
  name: string
}
export interface ApiKeys {
  find(keyHash: Uint8Array): Promise<ApiKey | undefined>
}

export interface Models {
  find(name: string): DeviceModel | undefined
  list(): readonly DeviceModel[]
}

export interface Status {
  readyAll(): Promise<{ ready: boolean; processes: Record<string, true | string> }>
  metricsAll(): Promise<string>
}
