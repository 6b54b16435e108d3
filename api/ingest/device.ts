/** A device as the owner of its lane holds it in memory: its registry part, its latest values, its inbox. Nobody else writes them. */
import { emptyInbox, INPUT_LIMIT, type Inbox, nextTime, openedBy, type Pending, presenceAfter } from '../../twin-models/core/inbox.ts'
import type { Batch, Latest, PresenceStatus, TwinInput, TwinRule, Wake } from '../../twin-models/core/types.ts'
import { firstWake } from '../../twin-models/core/wake.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { clockText, type KnownClock } from './clock.ts'
import { FeatureTexts, featuresOf } from './feature-texts.ts'
import type { DeviceRow, InboxChange } from './lane-store.ts'
import { laneOf } from './log.ts'
import { MemberTexts } from './member-texts.ts'

export interface Device {
  incarnation: number
  lane: number
  tenant: string
  device: string
  /** Undefined when this Castor no longer ships the model: its telemetry becomes dead letters. */
  model: DeviceModel | undefined
  lastSeen: number
  /** The newest MQTT connection: its number, and the stream of the bridge that holds it. */
  connection: [number: number, stream: number] | null
  /** Null: it never told a time of its own. */
  clock: KnownClock | null
  latest: Latest
  latestTexts: MemberTexts
  /** Properties in `latest`. */
  names: number
  inbox: Inbox
  mergedTexts: MemberTexts
  /** There is an inbox row. */
  stored: boolean
  /** More than what a message changes: something was sealed or answered, or its clock went another way. */
  dirtySeal: boolean
  /** The change of rules that was looked at for it last. */
  rules: number
  /** Rules that its inbox is to begin with. */
  firstRules: TwinRule[]
  /** The change that was looked at is another one. */
  dirtyRules: boolean
  featureTexts: FeatureTexts
  usedTick: number
  /** How often the device was told of an error in this minute. Not stored: it only bounds chatter. */
  errors: { minute: number; said: number; unsaid: number }
}

export function deviceOf(row: DeviceRow, inputLimit = INPUT_LIMIT): Device {
  const model = modelOf(row.model, row.modelVersion) ?? modelOf(row.model)
  const { incarnation, tenant, device } = row
  const base = {
    incarnation,
    lane: laneOf(incarnation),
    tenant,
    device,
    model,
    latestTexts: new MemberTexts(),
    names: 0,
    mergedTexts: new MemberTexts(),
    dirtySeal: false,
    firstRules: [],
    dirtyRules: false,
    usedTick: 0,
    errors: { minute: 0, said: 0, unsaid: 0 },
  }
  if (row.inbox === null) {
    const wake = firstWake(model?.settings ?? UNKNOWN_MODEL)
    return {
      ...base,
      lastSeen: 0,
      connection: null,
      clock: null,
      latest: {},
      inbox: emptyInbox(wake, inputLimit),
      stored: false,
      rules: -1,
      featureTexts: new FeatureTexts(null),
    }
  }
  const { lastSeen, connection, clock } = row.inbox
  const latest: Latest = JSON.parse(row.inbox.latest)
  const inbox = inboxOf(row.inbox, inputLimit)
  return {
    ...base,
    lastSeen,
    connection: connection === null ? null : JSON.parse(connection),
    clock: clock === null ? null : { ...JSON.parse(clock), at: lastSeen },
    latest,
    names: Object.keys(latest).length,
    inbox,
    stored: true,
    rules: row.inbox.rules,
    featureTexts: new FeatureTexts(inbox.features),
  }
}

/** The row as it is to be written now. */
export function inboxChange(device: Device): InboxChange {
  const { inbox, incarnation, lane, lastSeen } = device
  const { pending, sealed } = inbox
  const full = device.dirtySeal || !device.stored
  const features = device.featureTexts.change(inbox.features, device.dirtyRules || !device.stored)
  // Those that were merged, with a seal or before anything opened.
  if (inbox.features && pending)
    for (const name of Object.keys(inbox.features.known)) if (pending.merged[name] !== undefined) device.mergedTexts.changed(name)
  return {
    incarnation,
    lane,
    lastSeen,
    connection: device.connection === null ? null : JSON.stringify(device.connection),
    latest: device.latestTexts.json(device.latest),
    pending: pending === null ? null : pendingText(pending, device.mergedTexts),
    pendingSince: pending === null ? null : pending.since,
    urgent: pending?.urgent ?? false,
    sealed: device.dirtySeal ? (sealed?.batch ?? null) : null,
    sealedSeq: inbox.sealedSeq,
    sealedAt: sealed?.at ?? 0,
    wake: full ? JSON.stringify(inbox.wake) : '',
    clock: full ? clockText(device.clock) : null,
    full,
    ...features,
    rules: device.rules,
    dueAt: nextTime(inbox) ?? null,
  }
}

function pendingText({ merged, ...rest }: Pending, texts: MemberTexts): string {
  return `${JSON.stringify(rest).slice(0, -1)},"merged":${texts.json(merged)}}`
}

/** The input that every twin's first batch begins with, and that follows a change of its model. */
export function configuredInput(device: Device, at: number): TwinInput {
  return { kind: 'configured', at, settings: device.model?.settings ?? UNKNOWN_MODEL }
}

/** The presence that its twin will have decided on once it has consumed all that waits for it: that it went away may wait there. */
export function expectedPresence(row: { pending: string | null; sealed: string | null; wake: string | null }): PresenceStatus | undefined {
  if (row.wake === null) return undefined
  const waiting = [row.sealed, row.pending].flatMap((text) => (text === null ? [] : (JSON.parse(text) as Pick<Batch, 'inputs'>).inputs))
  return presenceAfter(waiting, JSON.parse(row.wake)).expected
}

const UNKNOWN_MODEL = { model: 'unknown', modelVersion: '0', presenceTimeoutMs: 300_000, ranges: {} }

function inboxOf(row: NonNullable<DeviceRow['inbox']>, inputLimit: number): Inbox {
  const wake: Wake = JSON.parse(row.wake)
  const batch: Batch | null = row.sealed === null ? null : JSON.parse(row.sealed)
  const pending: Inbox['pending'] = row.pending === null ? null : JSON.parse(row.pending)
  return {
    pending,
    sealed:
      row.sealed === null
        ? null
        : { seq: row.sealedSeq, at: row.sealedAt, batch: row.sealed, open: openedBy(batch?.inputs ?? [], row.sealedSeq, wake) },
    sealedSeq: row.sealedSeq,
    wake,
    features: featuresOf(row),
    graceSince: 0,
    inputLimit,
    ...presenceAfter([...(batch?.inputs ?? []), ...(pending?.inputs ?? [])], wake),
  }
}
