/**
 * The twin inbox of one device, as the owner of its lane holds it: two slots (docs/architecture.md §3.5, §3.6).
 *
 *   message ──► pending ──(due)──► sealed, numbered, immutable ──► signal ──► decision write ──► answer: sealed is empty again
 *
 * `pending` merges routine readings, so its size does not grow with their number. What meets a wake condition makes it urgent, and the
 * first such reading *opens* its property: from then on that property's readings are appended in order, until a decision consumed them.
 * Only the lane's owner calls these functions, so they change the inbox in place. They are pure otherwise: time comes as an argument.
 */
import { takeBatch } from './batch.ts'
import { type Hello, isOfPresence, isUrgent, lastRepeated, type PresenceNews, withoutDetour, wordsOf } from './hellos.ts'
import { fedBy, fedByHealth, type InboxFeatures, nextPassing, passed, withRules } from './inbox-features.ts'
import { type MergedTuple, merge } from './merged.ts'
import { own } from './plain.ts'
import type { PresenceStatus, Reading, TwinInput, TwinRule, TwinSettings, Wake } from './types.ts'
import { firstWake, isNewsReport, wakes } from './wake.ts'

export { BATCH_LIMIT } from './batch.ts'

/**
 * Appended inputs one inbox holds, unless it is told otherwise. Beyond, readings are merged, and so is presence that went to and fro (some more
 * of it may stay); what else a device says is refused.
 */
export const INPUT_LIMIT = 2_000
/** Among the open properties: all of them, since new settings are under way and their bounds are not known yet. */
const ALL = '*'
/** After these the bounds are not known before the twin has answered. */
const OPENS_ALL: ReadonlySet<string> = new Set<TwinInput['kind']>(['configured', 'rules', 'tick', 'alarm', 'maintenance'])
/** Among the open properties: reported state. Its reports are appended, since the next of them may be news to what is under way. */
const REPORTED = '$reported'
/** What a device says: it hears that there was no room. */
const MAY_BE_REFUSED: ReadonlySet<string> = new Set<TwinInput['kind']>(['event', 'command-answer', 'update-answer'])

export interface Inbox {
  pending: Pending | null
  sealed: Sealed | null
  /** Number of the newest seal, 0 before the first. */
  sealedSeq: number
  wake: Wake
  /** What its rules compare of its readings. Null: nothing. */
  features: InboxFeatures | null
  inputLimit: number
  /** The presence that the twin will have decided on once it has consumed all that waits for it. */
  expected: PresenceStatus
  /** It will be offline because the device said goodbye then: what was received before is no sign of life. 0: no goodbye. */
  goodbyeAt: number
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
  return { pending: null, sealed: null, sealedSeq: 0, wake, features: null, inputLimit, ...presenceAfter([], wake) }
}

/** With the rules that are for its device, in front of all else. */
export function beginWithRules(inbox: Inbox, settings: TwinSettings, rules: TwinRule[], at: number): void {
  if (rules.length === 0) return
  const { features, begun } = withRules(null, { set: rules, removed: [] }, at)
  inbox.features = features
  const inputs: TwinInput[] = [{ kind: 'rules', at, set: rules, removed: [] }, ...begun.map(inputOf)]
  inbox.wake = firstWake(settings, inputs)
  const pending = pendingOf(inbox, at)
  for (const input of inputs) append(pending, input, true)
  pending.open.push(...begun.map(({ name }) => name))
}

/** A message came. `counts` is false for what was seen before. */
export function addMessage(inbox: Inbox, receivedAt: number, counts: boolean, trace?: string): void {
  passTime(inbox, receivedAt)
  const pending = pendingOf(inbox, receivedAt)
  if (counts) pending.messages++
  if (receivedAt > pending.lastSeenAt) pending.lastSeenAt = receivedAt
  if (trace !== undefined) pending.trace = trace
}

/** It was a sign of life, and no hello that says more: it wakes a twin that thinks its device away. */
export function addLife(inbox: Inbox, at: number, messageId?: string): void {
  if (inbox.expected === 'online' || at < inbox.goodbyeAt) return
  appendPresence(inbox, { kind: 'life', at, ...(messageId === undefined ? {} : { messageId }) }, true)
}

/** The readings of one message that are news: those of earlier times first, in whatever order it has them. */
export function addReadings(inbox: Inbox, readings: Reading[]): void {
  const areInOrder = readings.every(({ ts }, i) => i === 0 || ts >= readings[i - 1]!.ts)
  for (const reading of areInOrder ? readings : readings.toSorted((a, b) => a.ts - b.ts)) addReading(inbox, reading)
}

/** A reading that is news: its ts is later than every earlier one of its property. (Others are history and decide nothing.) */
export function addReading(inbox: Inbox, reading: Reading): void {
  addOne(inbox, reading)
  if (inbox.features) for (const fed of fedBy(inbox.features, reading)) addOne(inbox, fed)
}

/**
 * Time came this far, without a message or before one: what it makes of its rules comes before all that is received later. True when the twin is
 * to be woken.
 */
export function passTime(inbox: Inbox, until: number): boolean {
  const { features, wake } = inbox
  if (features) for (const reading of passed(features, until)) addOne(inbox, reading)
  // While all is open, each message tells the twin how late it is, and after the answer `dueAt` is another one.
  if (wake.dueAt !== undefined && wake.dueAt <= until && !isAllOpen(inbox)) {
    const pending = pendingOf(inbox, until)
    append(pending, { kind: 'tick', at: until }, true)
    pending.open.push(ALL)
  }
  return inbox.pending?.urgent ?? false
}

/** When `passTime` is wanted at the latest. Undefined: whenever a message comes. */
export function nextTime({ features, wake, pending, sealed }: Inbox): number | undefined {
  const passing = features ? nextPassing(features, wake) : undefined
  const due = pending?.urgent || sealed ? undefined : wake.dueAt
  return due === undefined || passing! < due ? passing : due
}

function addOne(inbox: Inbox, reading: Reading): void {
  const pending = pendingOf(inbox, reading.receivedAt)
  const opened = opens(inbox.wake, reading)
  const waking = opened !== undefined
  if (waking && !pending.open.includes(opened)) pending.open.push(opened)
  const isSingle = waking || isOpen(inbox, pending, reading.name)
  if (isSingle && pending.inputs.length < inbox.inputLimit) {
    append(pending, inputOf(reading), waking)
    return
  }
  if (isSingle) mergeSingles(pending, reading.name)
  if (waking) pending.urgent = true
  merge(pending, reading)
}

/** The device says how it is configured. What is no news decides nothing and is dropped. False when the inbox is full. */
export function addReported(inbox: Inbox, input: Extract<TwinInput, { kind: 'reported' }>): boolean {
  const pending = pendingOf(inbox, input.at)
  const news = isNewsReport(inbox.wake, input)
  if (!news && !isOpen(inbox, pending, REPORTED)) return true
  if (pending.inputs.length >= inbox.inputLimit) return false
  if (news && !pending.open.includes(REPORTED)) pending.open.push(REPORTED)
  append(pending, input, news)
  return true
}

/** The device's own word on its presence. It wakes when it says something new. */
export function addHello(inbox: Inbox, hello: Hello): void {
  const pending = pendingOf(inbox, hello.at)
  const news = isUrgent(inbox.wake, hello, inbox.expected)
  const repeated = lastRepeated(pending.inputs, hello, pending.inputs.length >= inbox.inputLimit)
  if (repeated === undefined) appendPresence(inbox, hello, news)
  else {
    const [before] = pending.inputs.splice(repeated, 1)
    append(pending, { ...wordsOf(before as Hello), ...hello }, news)
    take(inbox, hello)
  }
  if (inbox.features && hello.health) for (const fed of fedByHealth(inbox.features, hello.health, hello.at)) addOne(inbox, fed)
}

/** A device event, its last word on a command or update, a request, new settings: appended, never merged, due at once. False: the inbox is full. */
export function addInput(inbox: Inbox, input: TwinInput): boolean {
  const pending = pendingOf(inbox, input.at)
  if (MAY_BE_REFUSED.has(input.kind) && pending.inputs.length >= inbox.inputLimit) return false
  append(pending, input, true)
  if (inbox.features && input.kind === 'event') {
    const { name, data: value, ts, at: receivedAt } = input
    for (const fed of fedBy(inbox.features, { name, value, ts, receivedAt }, true)) addOne(inbox, fed)
  }
  if (OPENS_ALL.has(input.kind) && !pending.open.includes(ALL)) pending.open.push(ALL)
  if (input.kind === 'rules') {
    const { features, begun } = withRules(inbox.features, input, input.at)
    inbox.features = features
    for (const reading of begun) addOne(inbox, reading)
  }
  if (input.kind === 'wish' && !pending.open.includes(REPORTED)) pending.open.push(REPORTED)
  return true
}

/** Silence was found. Nothing happens when the twin is known to think so already. */
export function addSilence(inbox: Inbox, at: number, lastSeenAt: number): boolean {
  if (inbox.expected !== 'online') return false
  appendPresence(inbox, { kind: 'silent', at, lastSeenAt }, true)
  return true
}

/** Moves what waits into `sealed`. The caller saw that `sealed` is empty and something is pending; it commits before it signals. */
export function seal(inbox: Inbox, now: number): Sealed {
  const pending = inbox.pending as Pending
  const { batch, rest } = takeBatch(pending)
  inbox.sealedSeq++
  inbox.sealed = { seq: inbox.sealedSeq, batch: JSON.stringify(batch), at: now, open: openedBy(batch.inputs, inbox.sealedSeq, inbox.wake) }
  inbox.pending = rest
  return inbox.sealed
}

/** The properties of which a seal holds single readings: they stay open until it is answered. `wake`: before its answer. */
export function openedBy(inputs: TwinInput[], seq: number, wake: Wake): string[] {
  const open = new Set<string>()
  inputs.forEach((input, i) => {
    if (input.kind === 'reading') open.add(isLate(wake, { ...input, receivedAt: input.at }) ? ALL : input.name)
    else if (input.kind === 'wish' || input.kind === 'reported') open.add(REPORTED)
    // Those that every twin's first batch begins with are what its wake conditions were made of.
    else if (OPENS_ALL.has(input.kind) && !(seq === 1 && isOfBeginning(inputs, i))) open.add(ALL)
  })
  return [...open]
}

/** Its settings, and its rules. */
function isOfBeginning(inputs: TwinInput[], i: number): boolean {
  return i === 0 ? inputs[0]!.kind === 'configured' : i === 1 && inputs[0]!.kind === 'configured' && inputs[1]!.kind === 'rules'
}

/** The twin answered: the seal is gone, its wake conditions are new, and what is pending is looked at in their light. */
export function answered(inbox: Inbox, seq: number, wake: Wake): void {
  inbox.wake = wake
  if (inbox.sealed !== null && inbox.sealed.seq <= seq) inbox.sealed = null
  if (inbox.sealed === null && inbox.pending !== null) reconsider(inbox, inbox.pending)
  if (inbox.sealed !== null) return
  Object.assign(inbox, presenceAfter(inbox.pending?.inputs ?? [], wake))
  // It went offline by its own timer while its device spoke.
  const { offlineSince = Infinity } = wake
  if (
    inbox.expected === wake.presence &&
    inbox.pending !== null &&
    inbox.pending.lastSeenAt > offlineSince &&
    !inbox.pending.inputs.some(isOfPresence)
  )
    addLife(inbox, inbox.pending.lastSeenAt)
}

type Expected = Pick<Inbox, 'expected' | 'goodbyeAt'>

/** The presence that a twin with these wake conditions will have decided on after these inputs. */
export function presenceAfter(inputs: TwinInput[], { presence, goodbye = false, offlineSince = 0 }: Wake): Expected {
  const after: Expected = { expected: presence, goodbyeAt: goodbye ? offlineSince : 0 }
  for (const input of inputs) take(after, input)
  return after
}

/** As presence.ts decides it. */
function take(presence: Expected, input: TwinInput): void {
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

function pendingOf(inbox: Inbox, at: number): Pending {
  inbox.pending ??= { since: at, urgent: false, messages: 0, lastSeenAt: 0, merged: {}, inputs: [], open: [] }
  return inbox.pending
}

function append(pending: Pending, input: TwinInput, urgent: boolean): void {
  pending.inputs.push(input)
  if (urgent) pending.urgent = true
}

function appendPresence(inbox: Inbox, given: PresenceNews, urgent: boolean): void {
  const pending = pendingOf(inbox, given.at)
  let news = given
  while (pending.inputs.length >= inbox.inputLimit) {
    const shorter = withoutDetour(pending.inputs, news)
    if (!shorter) break
    pending.inputs = shorter.inputs
    news = shorter.news
  }
  append(pending, news, urgent)
  take(inbox, given)
}

function inputOf(reading: Reading): TwinInput {
  const { name, value, ts, receivedAt, messageId } = reading
  return { kind: 'reading', at: receivedAt, name, value, ts, ...(messageId === undefined ? {} : { messageId }) }
}

function isOpen(inbox: Inbox, { open }: Pending, name: string): boolean {
  return open.includes(name) || (inbox.sealed?.open.includes(name) ?? false) || isAllOpen(inbox)
}

function isAllOpen({ pending, sealed }: Inbox): boolean {
  return (pending?.open.includes(ALL) ?? false) || (sealed?.open.includes(ALL) ?? false)
}

/** There is no room for more single readings of it: those that wait go before it, since what is merged is older than the inputs. */
function mergeSingles(pending: Pending, name: string): void {
  pending.inputs = pending.inputs.filter((input) => {
    if (input.kind !== 'reading' || input.name !== name) return true
    mergeInput(pending, input)
    return false
  })
}

/** What a reading that wakes opens. Undefined: it does not. */
function opens(wake: Wake, reading: Reading): string | undefined {
  if (!wakes(wake, reading)) return undefined
  return isLate(wake, reading) ? ALL : reading.name
}

function isLate(wake: Wake, { name, ts, receivedAt }: Reading): boolean {
  return receivedAt - ts > (own(wake.bounds, name)?.lateMs ?? Infinity)
}

function mergeInput(pending: Pending, { name, value, ts, at }: Extract<TwinInput, { kind: 'reading' }>): void {
  merge(pending, { name, value, ts, receivedAt: at })
}

/** Readings that were appended only because their property was open are merged again when, by the new conditions, none of them wakes; reports are dropped. */
function reconsider(inbox: Inbox, pending: Pending): void {
  const waking = new Set<string>()
  // Routine ones cannot wake; those that found no room in a full inbox can.
  for (const [name, [, , , value, ts, receivedAt]] of Object.entries(pending.merged)) {
    const opened = opens(inbox.wake, { name, value, ts: ts + pending.since, receivedAt: receivedAt + pending.since })
    if (opened !== undefined) waking.add(opened)
  }
  for (const input of pending.inputs) {
    if (OPENS_ALL.has(input.kind)) waking.add(ALL)
    else if (input.kind === 'reading') {
      const opened = opens(inbox.wake, { ...input, receivedAt: input.at })
      if (opened !== undefined) waking.add(opened)
    } else if (input.kind === 'wish' || (input.kind === 'reported' && isNewsReport(inbox.wake, input))) waking.add(REPORTED)
  }
  const kept: TwinInput[] = []
  let urgent = waking.size > 0
  for (const input of pending.inputs) {
    if (input.kind === 'reading' && !waking.has(input.name) && !waking.has(ALL)) {
      mergeInput(pending, input)
      continue
    }
    if (input.kind === 'reported' && !waking.has(REPORTED)) continue
    kept.push(input)
    if (input.kind !== 'hello' || isUrgent(inbox.wake, input, inbox.wake.presence)) urgent = true
  }
  pending.inputs = kept
  pending.urgent = urgent
  pending.open = [...waking]
}
