/**
 * What Castor has for a device, and how it is fetched: decided by the twin, kept in Postgres, handed out by whichever bridge the device
 * speaks to (docs/architecture.md §7). What is handed out is claimed first, in a commit of its own: so what may not be repeated leaves at
 * most once, whoever dies when.
 */

/** Of one device. */
export interface Pending {
  /** `body` is `{"version": 3, "state": {…}}`, as it is sent; `attempt` counts those of this version. */
  desired: { body: string; attempt: number } | null
  /** In the order of their requests. */
  commands: PendingCommand[]
  /** Ids of commands that ended while the device was on them. */
  cancels: string[]
  update: PendingUpdate | null
  /** Ids of updates that ended while the device was on them. */
  updateCancels: string[]
  /** What was wrong with its messages lately, in their order: the newest. Only listed, and only of devices without a connection. */
  errors: PendingError[]
}

export interface PendingError {
  /** A later one has a higher number. */
  number: number
  /** As it is sent on `errors`. */
  body: string
}

export interface PendingCommand {
  id: string
  /** The order of requests. */
  number: number
  name: string
  /** JSON; null: none. */
  input: string | null
  /** Epoch ms. */
  expiresAt: number
  /** How often it was handed out, this time included where it is claimed. */
  attempt: number
  /** False: it is handed out once. */
  repeatable: boolean
}

/** One at a time. */
export interface PendingUpdate {
  id: string
  /** `{"job": …, "manifest": …, "url": …}`, as it is sent (twin-models/firmware/job.ts). Another one for each attempt. */
  body: string
  /** How often this attempt was handed out, this time included where it is claimed. */
  sends: number
}

/**
 * What of it is asked for. `due` is what was never handed out, or stayed without an answer for too long; `all` is what may be handed out
 * at all, as after a reconnect.
 */
export interface Ask {
  incarnation: number
  desired: Want
  commands: Want
  /** Of `all` only those commands after this number: an answer is bounded, and goes on here. */
  after: number
  cancels: boolean
  updates: Want
  updateCancels: boolean
}
export type Want = 'none' | 'due' | 'all'

/** infra/postgres/downlink.ts. Devices that have nothing are missing in the answers. */
export interface DownlinkStore {
  /** Claims and gives. Cancels are given until they are told. At most COMMANDS_AT_ONCE commands a device. */
  claim(asks: Ask[]): Promise<Map<number, Pending>>
  /** What may be handed out, and what was and may be again; claims nothing. */
  list(incarnations: number[]): Promise<Map<number, Pending>>
  /** In how many ms something will be due of what is asked for; 0: now. */
  whenDue(asks: Ask[]): Promise<Map<number, number>>
  /** The device knows that these commands and updates ended. */
  cancelsTold(ids: string[]): Promise<void>
}

export const COMMANDS_AT_ONCE = 10
export const ERRORS_AT_ONCE = 10
/** An update is told again after so long without a word from its device; doubled each time, at most ten minutes. */
export const UPDATE_RETRY_MS = 30_000

export type DownKind = 'desired' | 'request' | 'cancel' | 'job' | 'update-cancel'

/** For metrics. */
export type OnSent = (kind: DownKind, attempt: number) => void

/** Payload of `commands/{id}/request`; over HTTP it stands in a list, with its id. */
export function requestJson(command: PendingCommand, id?: string): string {
  const { name, input, expiresAt, attempt } = command
  const before = JSON.stringify({ ...(id !== undefined && { id }), name }).slice(0, -1)
  const after = JSON.stringify({ expiresAt: new Date(expiresAt).toISOString(), attempt }).slice(1)
  return `${before},${input === null ? '' : `"input":${input},`}${after}`
}

/** The same of an update, with its id. */
export function updateJson({ id, body }: PendingUpdate): string {
  return `${JSON.stringify({ id }).slice(0, -1)},${body.slice(1)}`
}
