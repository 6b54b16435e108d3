/** What the live stream needs of the store: the outbox by position, the ingest log by (stream, seq), and twins. infra/postgres/live-log.ts. */
import type { LogEntry } from '../ingest/lane-store.ts'
import type { TwinRow } from '../ports.ts'

export interface OutboxRow {
  position: number
  /** Epoch ms. */
  at: number
  tenant: string
  incarnation: number
  device: string
  revision: number
  kind: string
  /** JSON, without kind and cause. */
  event: string
  /** JSON. */
  cause: string
}

export interface LiveLogStream {
  stream: number
  closed: boolean
  /** Opened so long ago that no stream with a lower number can still turn up. */
  settled: boolean
}

export interface LiveDevice {
  incarnation: number
  tenant: string
  device: string
  model: string
}

export interface LiveStore {
  /** Newest position given; 0: none yet. */
  outboxEnd(): Promise<number>
  /** Of all tenants, above `after`, in order. */
  outbox(after: number, limit: number): Promise<OutboxRow[]>
  /** What is kept of (after, upTo]: all positions, and the rows of the tenant, in order. */
  outboxPage(tenant: string, after: number, upTo: number): Promise<{ positions: number[]; rows: OutboxRow[] }>
  /** The first that is kept above `after`. */
  nextOutbox(after: number): Promise<{ number: number; at: number } | undefined>

  streams(): Promise<LiveLogStream[]>
  /** Stream → seq of its newest entry; 0: none. */
  lastEntries(streams: number[]): Promise<Map<number, number>>
  /** At most `limit` of each stream, in order. `at` is that of the entry before: times never fall along a stream. */
  entries(cursors: Array<{ stream: number; after: number; at: number }>, limit: number): Promise<LogEntry[]>
  /** What is kept of (after, upTo], in order. */
  entryPage(stream: number, after: number, upTo: number): Promise<LogEntry[]>
  nextEntry(stream: number, after: number): Promise<{ number: number; at: number } | undefined>

  devices(incarnations: number[]): Promise<LiveDevice[]>
  twins(incarnations: number[]): Promise<Array<TwinRow & { tenant: string }>>
}
