/** What an inbox holds, and what is open in it (inbox.ts says how it is used). */
import { toldAt, toldBy } from './hellos.ts'
import { type InboxFeatures, standing } from './inbox-features.ts'
import { type MergedTuple, merge } from './merged.ts'
import { own } from './plain.ts'
import { namesOf } from './rule-names.ts'
import type { PresenceStatus, Reading, ToldAt, TwinInput, Wake } from './types.ts'
import { wakes } from './wake.ts'

/**
 * Appended inputs one inbox holds, unless it is told otherwise. Beyond, readings are merged, and so is presence that went to and fro (some more
 * of it may stay); what else a device says is refused.
 */
export const INPUT_LIMIT = 2_000

/** Among the open properties: all of them, since new settings are under way and their bounds are not known yet. */
export const ALL = '*'

/** After these the bounds are not known before the twin has answered. */
export const OPENS_ALL: ReadonlySet<string> = new Set<TwinInput['kind']>(['configured', 'rules', 'tick', 'alarm', 'maintenance'])

/** Among the open properties: reported state. Its reports are appended, since the next of them may be news to what is under way. */
export const REPORTED = '$reported'

export interface Inbox {
  pending: Pending | null
  sealed: Sealed | null
  /** Number of the newest seal, 0 before the first. */
  sealedSeq: number
  wake: Wake
  /** What its rules compare of its readings. Null: nothing. */
  features: InboxFeatures | null
  /** Epoch ms: since when it can be received again, after an outage of ours. 0: there was none. */
  graceSince: number
  inputLimit: number
  /** The presence that the twin will have decided on once it has consumed all that waits for it. */
  expected: PresenceStatus
  /** It will be offline because the device said goodbye then: what was received before is no sign of life. 0: no goodbye. */
  goodbyeAt: number
  /** When it will have been told of firmware and health last. */
  told: ToldAt
}

export interface Pending {
  /** Receipt time of its first message: the window counts from here. */
  since: number
  urgent: boolean
  messages: number
  lastSeenAt: number
  merged: { [name: string]: MergedTuple }
  inputs: TwinInput[]
  /** Properties opened since the last seal. */
  open: string[]
  trace?: string
}

export interface Sealed {
  seq: number
  /** The batch as it goes out, always the same bytes. */
  batch: string
  at: number
  /** Properties that it holds single readings of: they stay open until it is answered. */
  open: string[]
}

export function emptyInbox(wake: Wake, inputLimit = INPUT_LIMIT): Inbox {
  return { pending: null, sealed: null, sealedSeq: 0, wake, features: null, graceSince: 0, inputLimit, ...presenceAfter([], wake) }
}

/** The properties of which a seal holds single readings: they stay open until it is answered. `wake`: before its answer. */
export function openedBy(inputs: TwinInput[], seq: number, wake: Wake): string[] {
  const open = new Set<string>()
  inputs.forEach((input, i) => {
    if (input.kind === 'reading') open.add(isLate(wake, { ...input, receivedAt: input.at }) ? ALL : input.name)
    else if (input.kind === 'wish' || input.kind === 'reported') open.add(REPORTED)
    // Those that every twin's first batch begins with are what its wake conditions were made of; but what is merged comes before them.
    else if (seq === 1 && isOfBeginning(inputs, i))
      for (const name of input.kind === 'rules' ? input.set.flatMap(namesOf) : []) open.add(name)
    else if (OPENS_ALL.has(input.kind)) open.add(ALL)
  })
  return [...open]
}

/** Its settings, and its rules after what they compare. */
function isOfBeginning(inputs: TwinInput[], i: number): boolean {
  if (inputs[0]!.kind !== 'configured') return false
  return i === 0 || (inputs[i]!.kind === 'rules' && inputs.slice(1, i).every(({ kind }) => kind === 'reading'))
}

export type Expected = Pick<Inbox, 'expected' | 'goodbyeAt' | 'told'>

/** The presence that a twin with these wake conditions will have decided on after these inputs, and when it was told of the rest. */
export function presenceAfter(inputs: TwinInput[], wake: Wake): Expected {
  const { presence, goodbye = false, offlineSince = 0 } = wake
  const after: Expected = { expected: presence, goodbyeAt: goodbye ? offlineSince : 0, told: toldAt(wake) }
  for (const input of inputs) take(after, input)
  return after
}

/** As presence.ts decides it. */
export function take(presence: Expected, input: TwinInput): void {
  if (input.kind === 'hello') presence.told = { ...presence.told, ...toldBy(input) }
  if (input.kind === 'silent') presence.expected = 'offline'
  else if (input.kind === 'life' || (input.kind === 'hello' && input.status === 'online')) {
    if (input.at < presence.goodbyeAt) return
    presence.expected = 'online'
    presence.goodbyeAt = 0
  } else if (input.kind === 'hello' && presence.expected !== 'offline') {
    presence.expected = 'offline'
    presence.goodbyeAt = input.at
  }
}

export function pendingOf(inbox: Inbox, at: number): Pending {
  inbox.pending ??= { since: at, urgent: false, messages: 0, lastSeenAt: 0, merged: {}, inputs: [], open: [] }
  return inbox.pending
}

export function append(pending: Pending, input: TwinInput, urgent: boolean): void {
  pending.inputs.push(input)
  if (urgent) pending.urgent = true
}

export function inputOf(reading: Reading): TwinInput {
  const { name, value, ts, receivedAt, messageId, timed } = reading
  return { kind: 'reading', at: receivedAt, name, value, ts, ...(messageId === undefined ? {} : { messageId }), ...(timed && { timed }) }
}

export function isOpen(inbox: Inbox, { open }: Pending, name: string): boolean {
  if (open.length === 0 && !inbox.sealed) return false
  return open.includes(name) || (inbox.sealed?.open.includes(name) ?? false) || isAllOpen(inbox)
}

export function isAllOpen({ pending, sealed }: Inbox): boolean {
  return (pending?.open.includes(ALL) ?? false) || (sealed?.open.includes(ALL) ?? false)
}

/** What a reading that wakes opens. Undefined: it does not. */
export function opens(wake: Wake, reading: Reading): string | undefined {
  if (!wakes(wake, reading)) return undefined
  return isLate(wake, reading) ? ALL : reading.name
}

function isLate(wake: Wake, { name, ts, receivedAt }: Reading): boolean {
  return receivedAt - ts > (own(wake.bounds, name)?.lateMs ?? Infinity)
}

export function mergeInput(pending: Pending, { name, value, ts, at }: Extract<TwinInput, { kind: 'reading' }>): void {
  merge(pending, { name, value, ts, receivedAt: at })
}

/** Before anything opens, and before a seal: functions of merged readings are merged as they stand, since they may only have been kept up so far. */
export function mergeFunctions(inbox: Inbox): void {
  const { pending, features } = inbox
  if (!pending || !features) return
  const { merged, since } = pending
  for (const [of, [, , , , lastTs, lastReceivedAt]] of Object.entries(merged)) {
    for (const reading of standing(features, of, lastTs + since, lastReceivedAt + since)) {
      // Time may have changed it after that reading.
      const isNewer = (merged[reading.name]?.[4] ?? -Infinity) + since > reading.ts
      if (!isNewer && !isOpen(inbox, pending, reading.name)) merge(pending, reading)
    }
  }
}
