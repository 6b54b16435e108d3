/**
 * What firmware needs of the outside: where the bytes lie (infra/firmware/folder-store.ts; an object store can follow), and the rows
 * (infra/postgres/firmware.ts, release-keys.ts, director-keys.ts). Times are epoch milliseconds.
 */
import type { FirmwareTrust, UsableProblem } from '../twin-models/firmware/usable.ts'
import type { Page } from './ports.ts'

/** Larger artifacts are refused. */
export const MAX_ARTIFACT_BYTES = 2 ** 30
/** That a tenant trusts at once, and has ever trusted. */
export const MOST_RELEASE_KEYS = 100

/** Bytes by their SHA-256 (hex): what is there never changes. Written by the api, read by the bridges. */
export interface FirmwareStore {
  /**
   * Takes in what comes, whatever it is; refuses with `too-large` as soon as it is more than `mostBytes`. Nobody sees it before `keep`.
   * Throws `unavailable` when there is no room.
   */
  put(content: AsyncIterable<Uint8Array>, mostBytes: number): Promise<StoredUpload>
  /** Undefined: there is none. */
  open(sha256: string, range: ByteRange): Promise<FirmwareContent | undefined>
}

export interface StoredUpload {
  sha256: string
  size: number
  /** Durable and to be found from now on; also when the same was there before. */
  keep(): Promise<void>
  discard(): Promise<void>
}

/** Positions of the first and the last byte, both within. */
export interface ByteRange {
  first: number
  last: number
}

export interface FirmwareContent {
  /** Undefined: the end. One call at a time. */
  read(): Promise<Uint8Array | undefined>
  /** Once, whatever was read; not during a `read`. */
  close(): Promise<void>
}

/** An artifact as stored. */
export interface FirmwareRow extends FirmwareTrust {
  id: string
  /** Rises with every artifact. */
  number: number
  name: string
  model: string
  version: string
  counter: number
  size: number
  sha256: string
  /** RFC 8785 canonical JSON, as it is signed. */
  manifest: string
  /** DSSE JSON. Null: nobody has signed it. */
  envelope: string | null
  notes: string
  createdAt: number
  createdBy: string
}

export interface NewFirmware {
  id: string
  tenant: string
  name: string
  model: string
  version: string
  counter: number
  size: number
  sha256: string
  manifest: string
  signature: FirmwareSignature | undefined
  expiresAt: number | null
  notes: string
  createdBy: string
}

export interface FirmwareSignature {
  /** DSSE JSON. */
  envelope: string
  key: string
}

export interface FirmwareQuery {
  name: string | undefined
  model: string | undefined
  page: Page<number>
}

export interface FirmwareRows {
  /** False: there is one of this name and version, or another release of its line has its counter. */
  insert(firmware: NewFirmware): Promise<boolean>
  find(tenant: string, id: string): Promise<FirmwareRow | undefined>
  findVersion(tenant: string, name: string, version: string): Promise<FirmwareRow | undefined>
  /** The release of this line with this counter: devices tell releases apart by it. */
  findCounter(tenant: string, name: string, counter: number): Promise<FirmwareRow | undefined>
  /** Of all names, by name; some, where there are many. */
  findVersions(tenant: string, version: string): Promise<FirmwareRow[]>
  /** Newest first. */
  list(tenant: string, query: FirmwareQuery): Promise<FirmwareRow[]>
  /** Only where nobody has signed it, or by a key that was revoked. False: else. */
  sign(tenant: string, id: string, signature: FirmwareSignature): Promise<boolean>
  /** For good; the first time stays. False: there is none. */
  withdraw(tenant: string, id: string): Promise<boolean>
}

export interface ReleaseKey {
  /** First 32 hex digits of the SHA-256 of its SPKI. */
  id: string
  name: string
  /** PEM. */
  publicKey: string
  createdAt: number
  revokedAt: number | null
}

export interface ReleaseKeys {
  /** The one with this id that was there, or this one. 'too-many': MOST_RELEASE_KEYS. */
  insert(tenant: string, key: Pick<ReleaseKey, 'id' | 'name' | 'publicKey'>): Promise<{ key: ReleaseKey; isNew: boolean } | 'too-many'>
  find(tenant: string, id: string): Promise<ReleaseKey | undefined>
  /** Newest first; all of them. */
  list(tenant: string): Promise<ReleaseKey[]>
  /** For good; the first time stays. False: there is none. */
  revoke(tenant: string, id: string): Promise<boolean>
}

export interface DirectorKey {
  id: string
  /** PEM. */
  publicKey: string
  createdAt: number
}

export interface DirectorKeys {
  /** Newest first: that one signs. */
  list(): Promise<DirectorKey[]>
}

/** What a download link stands for: an update of one device. */
export interface DownloadLink {
  tenant: string
  /** Secret part of the link of its present attempt. Null: it has none. */
  key: string | null
  until: number | null
  /** The update has ended. */
  isOver: boolean
  sha256: string
  size: number
  problem: UsableProblem | null
  rollout: string | null
  /** Of all downloads of the rollout together, on one bridge. Null: unbounded. */
  bytesPerSecond: number | null
}

/** Undefined: there is no such update. */
export type FindDownloadLink = (update: string) => Promise<DownloadLink | undefined>
