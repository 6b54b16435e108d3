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
import { type MergedTuple, merge } from './merged.ts'
import type { PresenceStatus, Reading, TwinInput, Wake } from './types.ts'
import { isAfter } from './update-returns.ts'
import { isNewsReport, wakes } from './wake.ts'

export { BATCH_LIMIT } from './batch.ts'

/**
 * Appended inputs one inbox holds, unless it is told otherwise. Beyond, readings are merged, and so is presence that went to and fro (some more
 * of it may stay); what else a device says is refused.
 */
export const INPUT_LIMIT = 2_000
/** Among the open properties: all of them, since new settings are under way and their bounds are not known yet. */
const ALL = '*'
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
  return { pending: null, sealed: null, sealedSeq: 0, wake, inputLimit, ...presenceAfter([], wake) }
}

/** A message came. `counts` is false for what was seen before. */
export function addMessage(inbox: Inbox, receivedAt: number, counts: boolean, trace?: string): void {
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

/** A reading that is news: its ts is later than every earlier one of its property. (Others are history and decide nothing.) */
export function addReading(inbox: Inbox, reading: Reading): void {
  const pending = pendingOf(inbox, reading.receivedAt)
  const waking = wakes(inbox.wake, reading)
  if (waking && !pending.open.includes(reading.name)) pending.open.push(reading.name)
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
  if (repeated === undefined) {
    appendPresence(inbox, hello, news)
    return
  }
  pending.inputs[repeated] = { ...wordsOf(pending.inputs[repeated] as Hello), ...hello }
  if (news) pending.urgent = true
  take(inbox, hello)
}

/** A device event, its last word on a command or update, a request, new settings: appended, never merged, due at once. False: the inbox is full. */
export function addInput(inbox: Inbox, input: TwinInput): boolean {
  const pending = pendingOf(inbox, input.at)
  if (MAY_BE_REFUSED.has(input.kind) && pending.inputs.length >= inbox.inputLimit) return false
  append(pending, input, true)
  if (input.kind === 'configured' && !pending.open.includes(ALL)) pending.open.push(ALL)
  if (input.kind === 'wish' && !pending.open.includes(REPORTED)) pending.open.push(REPORTED)
  return true
}

/** Its device installs, or reboots: told with whatever comes next. What says nothing new, and what finds no room, is dropped. */
export function addUpdateStep(inbox: Inbox, step: Extract<TwinInput, { kind: 'update-step' }>): void {
  const pending = pendingOf(inbox, step.at)
  const since = pending.inputs.findLastIndex(isOfPresence) + 1
  const isKnown = pending.inputs
    .slice(since)
    .some((input) => input.kind === step.kind && input.id === step.id && isAfter(input.status, step.status))
  if (!isKnown && pending.inputs.length < inbox.inputLimit) append(pending, step, inbox.wake.isBack === true)
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
  inbox.sealed = { seq: inbox.sealedSeq, batch: JSON.stringify(batch), at: now, open: openedBy(batch.inputs, inbox.sealedSeq) }
  inbox.pending = rest
  return inbox.sealed
}

/** The properties of which a seal holds single readings: they stay open until it is answered. */
export function openedBy(inputs: TwinInput[], seq: number): string[] {
  const open = new Set<string>()
  inputs.forEach((input, i) => {
    if (input.kind === 'reading') open.add(input.name)
    else if (input.kind === 'wish' || input.kind === 'reported') open.add(REPORTED)
    // Those that every twin's first batch begins with are what its wake conditions were made of.
    else if (input.kind === 'configured' && !(seq === 1 && i === 0)) open.add(ALL)
  })
  return [...open]
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

function isOpen(inbox: Inbox, pending: Pending, name: string): boolean {
  const { open } = pending
  const sealed = inbox.sealed?.open ?? []
  return open.includes(name) || sealed.includes(name) || open.includes(ALL) || sealed.includes(ALL)
}

/** There is no room for more single readings of it: those that wait go before it, since what is merged is older than the inputs. */
function mergeSingles(pending: Pending, name: string): void {
  pending.inputs = pending.inputs.filter((input) => {
    if (input.kind !== 'reading' || input.name !== name) return true
    mergeInput(pending, input)
    return false
  })
}

function mergeInput(pending: Pending, { name, value, ts, at }: Extract<TwinInput, { kind: 'reading' }>): void {
  merge(pending, { name, value, ts, receivedAt: at })
}

/** Readings that were appended only because their property was open are merged again when, by the new conditions, none of them wakes; reports are dropped. */
function reconsider(inbox: Inbox, pending: Pending): void {
  const waking = new Set<string>()
  // Routine ones cannot wake; those that found no room in a full inbox can.
  for (const [name, [, , , value, ts]] of Object.entries(pending.merged)) {
    if (wakes(inbox.wake, { name, value, ts: ts + pending.since })) waking.add(name)
  }
  for (const input of pending.inputs) {
    if (input.kind === 'configured') waking.add(ALL)
    else if (input.kind === 'reading' && wakes(inbox.wake, input)) waking.add(input.name)
    else if (input.kind === 'wish' || (input.kind === 'reported' && isNewsReport(inbox.wake, input))) waking.add(REPORTED)
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
    if (isUrgentInput(inbox.wake, input)) urgent = true
  }
  pending.inputs = kept
  pending.urgent = urgent
  pending.open = [...waking]
}

function isUrgentInput(wake: Wake, input: TwinInput): boolean {
  if (input.kind === 'hello') return isUrgent(wake, input, wake.presence)
  return input.kind !== 'update-step' || wake.isBack === true
}
