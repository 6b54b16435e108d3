/**
 * The twin inbox of one device, as the owner of its lane holds it: two slots (docs/architecture.md §3.5, §3.6).
 *
 *   message ──► pending ──(due)──► sealed, numbered, immutable ──► signal ──► decision write ──► answer: sealed is empty again
 *
 * `pending` merges routine readings, so its size does not grow with their number. What meets a wake condition makes it urgent, and the
 * first such reading *opens* its property: from then on that property's readings are appended in order, until a decision consumed them.
 * Only the lane's owner calls these functions, so they change the inbox in place. They are pure otherwise: time comes as an argument.
 */
import {
  type Hello,
  inPlaceOf,
  isOfPresence,
  isUrgent,
  lastRepeated,
  type PresenceNews,
  withoutDetour,
  withoutOldReturn,
  withoutOldWords,
} from './hellos.ts'
import { fedBy, fedByHealth, hasPassed, type InboxFeatures, keepUp, nextPassing, passed, withRules } from './inbox-features.ts'
import {
  ALL,
  append,
  type Inbox,
  inputOf,
  isAllOpen,
  isOpen,
  mergeFunctions,
  mergeInput,
  OPENS_ALL,
  opens,
  type Pending,
  pendingOf,
  REPORTED,
  take,
} from './inbox-slots.ts'
import { merge } from './merged.ts'
import { namesOf } from './rule-names.ts'
import type { Reading, TwinInput, TwinRule, TwinSettings } from './types.ts'
import { isAfter } from './update-returns.ts'
import { firstWake, isNewsReport } from './wake.ts'

export { BATCH_LIMIT } from './batch.ts'
export { answered, seal } from './inbox-answers.ts'
export { emptyInbox, INPUT_LIMIT, type Inbox, openedBy, type Pending, presenceAfter, type Sealed } from './inbox-slots.ts'

/** What a device says: it hears that there was no room. */
const MAY_BE_REFUSED: ReadonlySet<string> = new Set<TwinInput['kind']>(['event', 'command-answer', 'update-answer'])

/** With the rules that are for its device, in front of all else. */
export function beginWithRules(inbox: Inbox, settings: TwinSettings, rules: TwinRule[], at: number): void {
  if (rules.length === 0) return
  const { features, begun } = withRules(null, { set: rules, removed: [] }, at)
  inbox.features = features
  const inputs: TwinInput[] = [...begun.map(inputOf), { kind: 'rules', at, set: rules, removed: [] }]
  inbox.wake = firstWake(settings, inputs)
  const pending = pendingOf(inbox, at)
  for (const input of inputs) append(pending, input, true)
  pending.open.push(...rules.flatMap(namesOf))
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

/**
 * The readings of one message that are news: their ts is later than every earlier one of their property. (Others are history and decide nothing.)
 * Those of earlier times come first, in whatever order the message has them.
 */
export function addReadings(inbox: Inbox, readings: Reading[]): void {
  const { features } = inbox
  const known = inOrder(readings)
  if (!features) for (const reading of known) addOne(inbox, reading)
  else if (known.length > 0 && !addRoutine(inbox, features, known)) {
    mergeFunctions(inbox)
    for (const reading of inOrder(known.flatMap((each) => [each, ...fedBy(features, each)]))) addOne(inbox, reading)
  }
}

/**
 * What neither wakes nor meets anything open, as nearly always. The functions of such readings are not merged with every message: the bounds see
 * to it that no comparison changes its truth meanwhile. What they are is told with the next seal, and before anything opens. False: it is more.
 */
function addRoutine(inbox: Inbox, features: InboxFeatures, readings: Reading[]): boolean {
  const pending = pendingOf(inbox, readings[0]!.receivedAt)
  const isRoutine = (reading: Reading): boolean => opens(inbox.wake, reading) === undefined && !isOpen(inbox, pending, reading.name)
  if (!readings.every(isRoutine) || !keepUp(features, readings, isRoutine)) return false
  for (const reading of readings) merge(pending, reading)
  return true
}

function inOrder(readings: Reading[]): Reading[] {
  const areInOrder = readings.every(({ ts }, i) => i === 0 || ts >= readings[i - 1]!.ts)
  return areInOrder ? readings : readings.toSorted((a, b) => a.ts - b.ts)
}

/**
 * Time came this far, without a message or before one: what it makes of its rules comes before all that is received later. True when the twin is
 * to be woken.
 */
export function passTime(inbox: Inbox, until: number): boolean {
  const { features, wake, graceSince } = inbox
  if (features && hasPassed(features, until, graceSince)) {
    mergeFunctions(inbox)
    for (const reading of passed(features, until, graceSince)) addOne(inbox, reading)
  }
  // While all is open, each message tells the twin how late it is, and after the answer `dueAt` is another one.
  if (wake.dueAt !== undefined && wake.dueAt <= until && !isAllOpen(inbox)) {
    const pending = pendingOf(inbox, until)
    mergeFunctions(inbox)
    append(pending, { kind: 'tick', at: until }, true)
    pending.open.push(ALL)
  }
  return inbox.pending?.urgent ?? false
}

/** Time came this far before what is added next, which cannot tell: whatever the twin waits for. */
export function tellTime(inbox: Inbox, until: number): void {
  passTime(inbox, until)
  if (inbox.features === null && inbox.wake.dueAt === undefined && !isAllOpen(inbox)) return
  const pending = pendingOf(inbox, until)
  mergeFunctions(inbox)
  const last = pending.inputs.at(-1)
  if (last?.kind !== 'tick' || last.at < until) append(pending, { kind: 'tick', at: until }, true)
  if (!pending.open.includes(ALL)) pending.open.push(ALL)
}

/** When `passTime` is wanted at the latest. Undefined: whenever a message comes. */
export function nextTime(inbox: Inbox): number | undefined {
  const { features, wake, pending, sealed, graceSince } = inbox
  // While all is open, nobody knows what of it is wanted.
  const passing = features ? nextPassing(features, isAllOpen(inbox) ? undefined : wake, graceSince) : undefined
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
  if (isSingle && inbox.features) judgeMerged(pending, reading.receivedAt)
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
export function addHello(inbox: Inbox, given: Hello): void {
  passTime(inbox, given.at)
  const pending = pendingOf(inbox, given.at)
  const hello = withoutOldWords(withoutOldReturn(given, inbox.goodbyeAt), inbox.told)
  const news = isUrgent(inbox.wake, hello, inbox.expected)
  const repeated = lastRepeated(pending.inputs, hello, pending.inputs.length >= inbox.inputLimit)
  if (repeated === undefined) appendPresence(inbox, hello, news)
  else {
    const [before] = pending.inputs.splice(repeated, 1)
    append(pending, inPlaceOf(before as Hello, hello), news)
    take(inbox, hello)
  }
  if (!inbox.features || !hello.health) return
  mergeFunctions(inbox)
  for (const fed of fedByHealth(inbox.features, hello)) addOne(inbox, fed)
}

/** A device event, its last word on a command or update, a request, new settings: appended, never merged, due at once. False: the inbox is full. */
export function addInput(inbox: Inbox, input: TwinInput): boolean {
  const pending = pendingOf(inbox, input.at)
  if (MAY_BE_REFUSED.has(input.kind) && pending.inputs.length >= inbox.inputLimit) return false
  mergeFunctions(inbox)
  if (OPENS_ALL.has(input.kind) && !pending.open.includes(ALL)) pending.open.push(ALL)
  if (input.kind === 'rules') {
    const { features, begun } = withRules(inbox.features, input, input.at)
    inbox.features = features
    for (const reading of begun) addOne(inbox, reading)
  }
  append(pending, input, true)
  if (inbox.features && input.kind === 'event') {
    const { name, data: value, ts, at: receivedAt } = input
    for (const fed of fedBy(inbox.features, { name, value, ts, receivedAt }, true)) addOne(inbox, fed)
  }
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
  passTime(inbox, at)
  appendPresence(inbox, { kind: 'silent', at, lastSeenAt }, true)
  return true
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

/** What is merged is no moment: rules look at it with this one. There is one at most. */
function judgeMerged(pending: Pending, at: number): void {
  pending.inputs = pending.inputs.filter(({ kind }) => kind !== 'tick')
  append(pending, { kind: 'tick', at }, true)
  if (!pending.open.includes(ALL)) pending.open.push(ALL)
}

/** There is no room for more single readings of it: those that wait go before it, since what is merged is older than the inputs. */
function mergeSingles(pending: Pending, name: string): void {
  pending.inputs = pending.inputs.filter((input) => {
    if (input.kind !== 'reading' || input.name !== name) return true
    mergeInput(pending, input)
    return false
  })
}
