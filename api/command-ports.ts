/** What the HTTP side needs to write and read commands (infra/postgres/commands.ts). */
import type { IdempotencyClaim, Page } from './ports.ts'

/** A command as stored. JSON columns stay text. */
export interface CommandRow {
  id: string
  /** Rises with every request. */
  number: number
  tenant: string
  incarnation: number
  device: string
  name: string
  /** JSON, null: none. */
  input: string | null
  status: CommandStatus
  /** JSON. */
  output: string | null
  code: string | null
  message: string | null
  /** JSON. */
  progress: string | null
  attempts: number
  requestedBy: string
  createdAt: number
  expiresAt: number
  releasedAt: number | null
  sentAt: number | null
  acknowledgedAt: number | null
  endedAt: number | null
  /** JSON list of answers that came after the end, or null. */
  late: string | null
  /** createdAt in microseconds: the place in a list, with `number`. */
  createdMicros: number
}

export type CommandStatus = (typeof COMMAND_STATUSES)[number]
export const COMMAND_STATUSES = ['queued', 'sent', 'acknowledged', 'running', 'succeeded', 'failed', 'expired', 'cancelled'] as const

export interface NewCommand {
  id: string
  tenant: string
  incarnation: number
  name: string
  /** JSON, null: none. */
  input: string | null
  requestedBy: string
  repeatable: boolean
  retryMs: number
  maxAttempts: number
  expiresAt: number
  /** The request to the twin that goes with it. */
  request: { id: string; body: string }
}

/** What stands under an Idempotency-Key. */
export interface CommandIds {
  command: string
  request: string
}

export interface Commands {
  /**
   * The command and the request to its twin, in one transaction; with `claim`, and the ids of both, under an Idempotency-Key. 'gone': there
   * is no such registration (any more); 'claimed': the key is taken. Nothing was written then.
   */
  insert(command: NewCommand, claim?: IdempotencyClaim): Promise<'written' | 'gone' | 'claimed'>
  /** A refusal is not kept under its key: frees it, where it stands for this command still. */
  releaseKey(tenant: string, keyHash: Uint8Array, ids: CommandIds): Promise<void>
  find(tenant: string, id: string): Promise<CommandRow | undefined>
  /** Newest first. Undefined: there is no such device. */
  list(query: {
    tenant: string
    /** Of its present registration. */
    device: string | undefined
    statuses: readonly CommandStatus[] | undefined
    name: string | undefined
    from: number | undefined
    /** Exclusive. */
    to: number | undefined
    page: Page<{ createdMicros: number; number: number }>
  }): Promise<CommandRow[] | undefined>
  /** Those of `ids` that ended. */
  ended(ids: string[]): Promise<Array<{ id: string }>>
}
