/**
 * A small in-memory stand-in for the part of Postgres that a message passes: what infra/postgres/migrations/ calls tables are maps here,
 * under the same names. The stores over it (memory-lane-store.ts, memory-leases.ts, memory-decision-store.ts) pass the same conformance
 * suites as those of Postgres. Nothing here waits or draws anything: time is the `clock` it is given.
 */
import type { InboxRow, LiveRule } from '../../api/ingest/lane-store.ts'
import { LANES, laneOf } from '../../api/ingest/log.ts'
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import type { Value } from '../../twin-models/core/types.ts'

export interface DeviceRecord {
  incarnation: number
  tenant: string
  device: string
  model: string
  modelVersion: string
  createdAt: number
  revision: number
  decidedSeq: number
  /** JSON, as the decision write stored it. */
  state: string | null
  decided: string
  telemetry: string
}

export interface InboxRecord extends InboxRow {
  lane: number
  pendingSince: number | null
  urgent: boolean
  dueAt: number | null
}

export interface LaneRecord {
  lane: number
  owner: string | null
  epoch: number
  leaseUntil: number
  cursors: string
  watermark: number
  graceSince: number
  /** Set while a transaction that wrote the lane is not yet committed: whoever wants to see the lane waits for it. */
  lock: Promise<void> | null
}

export interface EntryRecord {
  stream: number
  seq: number
  lane: number
  at: number
  heads: string
  body: Uint8Array
}

export interface StreamRecord {
  stream: number
  openedAt: number
  beatAt: number
  closedAt: number | null
  entries: EntryRecord[]
}

export interface RequestRecord {
  id: string
  tenant: string
  incarnation: number
  lane: number
  kind: string
  body: string
  createdAt: number
  seq: number | null
  answeredAt: number | null
  answer: string | null
}

/** What REST writes of a command. */
export interface NewCommand {
  id: string
  tenant: string
  incarnation: number
  device: string
  name: string
  /** JSON. */
  input: string | null
  requestedBy: string
  repeatable: boolean
  retryMs: number
  maxAttempts: number
  expiresAt: number
}

export interface CommandRecord extends NewCommand {
  number: number
  createdAt: number
  status: string
  releasedAt: number | null
  sentAt: number | null
  attempts: number
  acknowledgedAt: number | null
  progress: string | null
  endedAt: number | null
  output: string | null
  code: string | null
  message: string | null
  cancelAt: number | null
  cancelSentAt: number | null
  /** JSON list. */
  late: string | null
}

export interface FirmwareRecord {
  id: string
  sha256: string
  /** DSSE JSON; null: nobody has signed it. */
  envelope: string | null
  /** Not withdrawn, not expired, and signed by a key that is trusted. */
  isUsable: boolean
}

/** What REST or a rollout writes of an update. */
export interface NewUpdate {
  id: string
  tenant: string
  incarnation: number
  device: string
  rollout: string | null
  /** Id of the artifact. */
  firmware: string
  kind: 'install' | 'rollback'
  requestedBy: string
}

export interface UpdateRecord extends NewUpdate {
  number: number
  createdAt: number
  fromVersion: string | null
  fromSha256: string | null
  status: string
  /** JSON. */
  progress: string | null
  attempt: number
  job: string | null
  link: string | null
  until: number | null
  linkUntil: number | null
  /** First, of this attempt. */
  toldAt: number | null
  /** Last, of this attempt. */
  sentAt: number | null
  sends: number
  answeredAt: number | null
  statusAt: number
  endedAt: number | null
  code: string | null
  message: string | null
  cancelAt: number | null
  cancelSentAt: number | null
}

export interface AlarmRecord extends AlarmChange {
  incarnation: number
  tenant: string
  device: string
}

export interface WishRecord {
  incarnation: number
  version: number
  /** JSON. */
  body: string | null
  answered: boolean
  retryMs: number
  sentVersion: number | null
  sentAt: number | null
  attempts: number
}

export interface TelemetryRecord {
  incarnation: number
  property: number
  ts: number
  receivedAt: number
  value: Value
  messageId: string | null
}

export interface HistoryRecord {
  incarnation: number
  revision: number
  n: number
  kind: string
  event: string
  cause: string
}

export interface AnswerRecord {
  id: number
  lane: number
  incarnation: number
  seq: number
  wake: string
}

export interface LetterRecord {
  at: number
  tenant: string
  device: string
  incarnation: number
  topic: string
  reason: string
  detail: string
  messageId: string | null
  size: number
  raw: Uint8Array
}

export class MemoryDatabase {
  readonly clock: () => number
  readonly devices = new Map<number, DeviceRecord>()
  readonly removedDevices = new Map<number, { incarnation: number; tenant: string; device: string; lane: number; endedAt: number | null }>()
  readonly streams = new Map<number, StreamRecord>()
  readonly processors = new Map<string, number>()
  readonly lanes = new Map<number, LaneRecord>()
  readonly inbox = new Map<number, InboxRecord>()
  readonly answers = new Map<number, AnswerRecord>()
  readonly requests = new Map<string, RequestRecord>()
  /** In the order of their numbers. */
  readonly commands = new Map<string, CommandRecord>()
  readonly #commandsOf = new Map<number, CommandRecord[]>()
  readonly firmware = new Map<string, FirmwareRecord>()
  /** In the order of their numbers. */
  readonly updates = new Map<string, UpdateRecord>()
  readonly #updatesOf = new Map<number, UpdateRecord[]>()
  /** What was answered under an Idempotency-Key, by it. */
  readonly idempotencyKeys = new Map<string, string>()
  readonly wishes = new Map<number, WishRecord>()
  /** Live ones, by tenant and name. */
  readonly rules = new Map<string, LiveRule>()
  readonly ruleScopes: Array<{ tenant: string; model: string | null; change: number }> = []
  /** By incarnation: the number of the change that has it looked at anew. */
  readonly ruleDevices = new Map<number, number>()
  /** By incarnation, then by which alarm of the device. */
  readonly alarms = new Map<number, Map<number, AlarmRecord>>()
  readonly history = new Map<number, HistoryRecord[]>()
  readonly properties = new Map<string, number>()
  /** By incarnation, then by `property ts`. */
  readonly telemetry = new Map<number, Map<string, TelemetryRecord>>()
  readonly messageIds = new Map<string, number>()
  readonly deadLetters: LetterRecord[] = []
  readonly deviceErrors: Array<{ stream: number; incarnation: number; body: string }> = []
  #incarnations = 0
  #answerIds = 0
  #connections = 0
  #ruleDeviceChanges = 0

  constructor(clock: () => number) {
    this.clock = clock
    for (let lane = 0; lane < LANES; lane++) {
      this.lanes.set(lane, { lane, owner: null, epoch: 0, leaseUntil: 0, cursors: '{}', watermark: 0, graceSince: 0, lock: null })
    }
  }

  register(tenant: string, device: string, model: string, modelVersion: string): DeviceRecord {
    for (const other of this.devices.values()) {
      if (other.tenant === tenant && other.device === device) throw new Error(`${tenant}/${device} is registered`)
    }
    const incarnation = ++this.#incarnations
    const decided = '{"presence":{"status":"never"}}'
    const counts = { revision: 0, decidedSeq: 0, state: null, decided, telemetry: '{}' }
    const record = { incarnation, tenant, device, model, modelVersion, createdAt: this.clock(), ...counts }
    this.devices.set(incarnation, record)
    return record
  }

  remove(incarnation: number): void {
    const record = this.devices.get(incarnation)
    if (record === undefined) return
    this.devices.delete(incarnation)
    const { tenant, device } = record
    this.removedDevices.set(incarnation, { incarnation, tenant, device, lane: laneOf(incarnation), endedAt: null })
  }

  request(id: string, tenant: string, incarnation: number, kind: string, body = '{}'): void {
    const lane = laneOf(incarnation)
    const open = { seq: null, answeredAt: null, answer: null }
    this.requests.set(id, { id, tenant, incarnation, lane, kind, body, createdAt: this.clock(), ...open })
  }

  command(command: NewCommand): CommandRecord {
    const unsent = { status: 'queued', releasedAt: null, sentAt: null, attempts: 0, acknowledgedAt: null, progress: null }
    const open = { endedAt: null, output: null, code: null, message: null, cancelAt: null, cancelSentAt: null, late: null }
    const record = { ...command, number: this.commands.size + 1, createdAt: this.clock(), ...unsent, ...open }
    this.commands.set(command.id, record)
    this.#commandsOf.set(command.incarnation, [...this.commandsOf(command.incarnation), record])
    return record
  }

  /** Of one registration, in the order of their numbers. */
  commandsOf(incarnation: number): readonly CommandRecord[] {
    return this.#commandsOf.get(incarnation) ?? []
  }

  update(update: NewUpdate): UpdateRecord {
    const [number, createdAt] = [this.updates.size + 1, this.clock()]
    const unsent = { status: 'scheduled', statusAt: createdAt, progress: null, attempt: 0 }
    const untold = { toldAt: null, sentAt: null, sends: 0, answeredAt: null }
    const unreleased = { fromVersion: null, fromSha256: null, job: null, link: null, until: null, linkUntil: null }
    const open = { endedAt: null, code: null, message: null, cancelAt: null, cancelSentAt: null }
    const record = { ...update, number, createdAt, ...unsent, ...untold, ...unreleased, ...open }
    this.updates.set(update.id, record)
    this.#updatesOf.set(update.incarnation, [...this.updatesOf(update.incarnation), record])
    return record
  }

  /** Of one registration, in the order of their numbers. */
  updatesOf(incarnation: number): readonly UpdateRecord[] {
    return this.#updatesOf.get(incarnation) ?? []
  }

  answer(incarnation: number, seq: number, wake: string): void {
    const id = ++this.#answerIds
    this.answers.set(id, { id, lane: laneOf(incarnation), incarnation, seq, wake })
  }

  /** Connection numbers. */
  nextConnection(): number {
    return ++this.#connections
  }

  propertyId(tenant: string, name: string): number {
    const key = `${tenant} ${name}`
    const known = this.properties.get(key)
    if (known !== undefined) return known
    this.properties.set(key, this.properties.size + 1)
    return this.properties.size
  }

  /** Null: it is not live any more. */
  rule(tenant: string, name: string, rule: LiveRule | null): void {
    const key = `${tenant} ${name}`
    const before = this.rules.get(key)
    if (rule) this.rules.set(key, rule)
    else this.rules.delete(key)
    for (const row of [before, rule]) if (row) this.ruleScopes.push({ tenant, model: row.model, change: this.ruleScopes.length + 1 })
  }

  /** Its model or attributes changed. */
  ruleDevice(incarnation: number): void {
    if (this.ruleScopes.length > 0) this.ruleDevices.set(incarnation, ++this.#ruleDeviceChanges)
  }

  openStream(): number {
    const stream = this.streams.size + 1
    this.streams.set(stream, { stream, openedAt: this.clock(), beatAt: this.clock(), closedAt: null, entries: [] })
    return stream
  }
}
