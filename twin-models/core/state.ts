/** What a twin carries. Plain JSON, as in types.ts. */
import type { DivergedReason, PresenceReason } from './events.ts'
import type {
  CommandEnd,
  CommandRequest,
  Firmware,
  Health,
  JsonObject,
  Maintenance,
  OpenAlarm,
  OpenUpdate,
  PresenceStatus,
  RangeStatus,
  RuleMemory,
  TwinRule,
  TwinSettings,
  UpdateEnd,
  Value,
} from './types.ts'

/** When firmware and health were told last, by receipt: what was received before then says nothing of them. Absent: never, or it was not noted yet. */
export interface ToldAt {
  firmwareAt?: number
  healthAt?: number
}
/** What a hello may say beside its status. Its own times where it stands for several. */
export interface HelloWords extends ToldAt {
  firmware?: Firmware
  health?: Health
}

/** What a twin carries from decision to decision and through continue-as-new. Versioned: `upgrade` turns older ones into this. */
export interface TwinState extends ToldAt {
  v: 4
  settings: TwinSettings
  revision: number
  /** Newest seal consumed. */
  seq: number
  presence: { status: PresenceStatus; since: number; reason: PresenceReason | 'registered'; lastSeenAt: number }
  /** Watched properties only: status, since when, the last number evaluated and the time (ts) of the newest reading; 0: none yet. */
  ranges: { [name: string]: { status: RangeStatus; since: number; value: number; newest: number } }
  /** Latest value the twin knows per property: [value, ts]. Bounded: 200 names, those beyond are only in the inbox row. */
  values: { [name: string]: [value: Value, ts: number] }
  firmware: Firmware | null
  health: Health | null
  /** Messages it was told of, in all. */
  messages: number
  /** Last device events, newest first, at most 10: name and ts. */
  recentEvents: Array<{ name: string; ts: number }>
  /** What the device says it is configured as. `at`: since when (ts) each leaf is so, by JSON pointer. */
  reported: { state: JsonObject; at: { [pointer: string]: number } }
  desired: {
    /** Rises with every change, never falls. 0: nothing was ever wished. */
    version: number
    state: JsonObject
    /** Of each leaf that is wished, and of those that the device won, by JSON pointer. */
    leaves: { [pointer: string]: WishedLeaf }
    /** Newest version that the device answered. */
    answered: number
    /** First wait before it is sent again, where a request said so. */
    retryMs?: number
  }
  /** Those that have not ended, in the order of their requests. At most 100. */
  commands: OpenCommand[]
  /** Ids of commands that ended last, newest first, at most 20: an answer that comes again is known by them. */
  endedCommands: Array<{ id: string; status: CommandEnd }>
  /** At most one. */
  update: OpenUpdate | null
  /** Those that ended last, newest first, at most 5. `code`: why they ended so. */
  endedUpdates: Array<{ id: string; status: UpdateEnd; version: string; at: number; code?: string }>
  /** Rules that are for it, by name; what is kept of each between decisions; and their alarms that were not cleared. */
  rules: { [id: string]: TwinRule }
  memory: { [rule: string]: RuleMemory }
  alarms: { [rule: string]: OpenAlarm }
  /** Alarms that it ever raised. */
  alarmCount: number
  /** Up to this time, all that its rules wait for was decided. */
  ruleClock: number
  maintenance: Maintenance | null
}

/** `sent` is not decided: it follows from what the bridge wrote (table wishes). */
export interface WishedLeaf {
  version: number
  at: number
  by: string
  status: 'pending' | 'acknowledged' | 'converged' | 'diverged'
  /** Since when it has this status. */
  since: number
  deadlineAt?: number
  reason?: DivergedReason
  code?: string
  message?: string
}

export interface OpenCommand extends CommandRequest {
  /** It may be sent. */
  released: boolean
}
