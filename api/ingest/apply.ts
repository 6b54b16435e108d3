/**
 * What accepted messages change: decoded, told apart from what was seen before, and put into latest values, inboxes, telemetry and dead
 * letters of the tick's work. Devices are changed in memory; nothing is written here.
 */
import { addHello, addInput, addLife, addMessage, addReadings, addReported, passTime } from '../../twin-models/core/inbox.ts'
import { mergeLatest } from '../../twin-models/core/latest.ts'
import type { Reading } from '../../twin-models/core/types.ts'
import { noteClock } from './clock.ts'
import { addDeadLetter } from './dead-letter.ts'
import { type Decoded, decode, type Part, type Problem } from './decode.ts'
import type { Device } from './device.ts'
import type { DeviceReading, LaneStore } from './lane-store.ts'
import type { LogMessage } from './log-reader.ts'
import type { PropertyIds } from './property-ids.ts'
import { Responses } from './responses.ts'
import { beginRules } from './rule-book.ts'
import { UpdateWords } from './update-words.ts'
import { touch, type Work } from './work.ts'

/** Its latest values are one row, written with every message. */
const NAMES_PER_DEVICE = 500

export interface ApplyContext {
  devices: { get(incarnation: number): Device | undefined }
  work: Work
  store: LaneStore
  properties: PropertyIds
  /** A message that could not be stored: it becomes a dead letter, whatever it is. */
  isPoison: (message: LogMessage) => boolean
}

type TickContext = ApplyContext & { responses: Responses; updateWords: UpdateWords }

export async function applyMessages(messages: LogMessage[], context: ApplyContext): Promise<void> {
  const { devices, work, store, properties } = context
  const responses = new Responses(work.changes)
  const updateWords = new UpdateWords(work.changes)
  const decoded: Array<Decoded | undefined> = []
  const asked: Array<{ incarnation: number; digest: string }> = []
  for (const message of messages) {
    const device = devices.get(message.incarnation)
    const result = device ? decodeFor(device, message, context) : undefined
    decoded.push(result)
    if (!device || !result) continue
    for (const { readings, digest, response, update } of result.parts) {
      properties.note(device.tenant, readings)
      if (response) responses.note(message.incarnation, response)
      if (update) updateWords.note(message.incarnation, update)
      if (digest !== undefined) asked.push({ incarnation: message.incarnation, digest })
    }
  }
  const seen = asked.length === 0 ? new Set<string>() : await store.knownMessages(asked)
  await properties.resolve(store)
  await responses.resolve(store)
  await updateWords.resolve(store)
  const tick: TickContext = { ...context, responses, updateWords }
  for (let n = 0; n < messages.length; n++) {
    const message = messages[n] as LogMessage
    const device = devices.get(message.incarnation)
    if (!device) work.dropped++
    else applyMessage(device, message, decoded[n], seen, tick)
  }
}

/** Undefined for what the bridge itself says (connect, disconnect). */
function decodeFor(device: Device, message: LogMessage, { isPoison }: ApplyContext): Decoded | undefined {
  if (message.kind === 'connect' || message.kind === 'disconnect') return undefined
  if (isPoison(message)) return refused('not-storable', 'it failed alone in five attempts')
  if (device.model === undefined) return refused('unknown-model', 'this Castor does not ship the model of the device')
  return decode(message, device.model, device.device)
}

function refused(reason: Problem['reason'], detail: string): Decoded {
  return { parts: [], problems: [{ reason, path: '', detail }], problemCount: 1, clock: null, ownTime: null }
}

function applyMessage(device: Device, message: LogMessage, decoded: Decoded | undefined, seen: Set<string>, context: TickContext): void {
  const { work } = context
  touch(work, device)
  beginRules(device, message.receivedAt)
  if (decoded === undefined) {
    applyConnection(device, message)
    return
  }
  const isWill = message.kind === 'will'
  // A will is left with a connection: when there is a later one, it is old news.
  if (isWill && (device.connection?.[0] !== message.connection || message.receivedAt < device.lastSeen)) return

  const parts = withoutOldGoodbye(unseenParts(decoded, message, seen, work), message, device)
  const problems = [...decoded.problems]
  const news: Reading[] = []
  for (const { readings } of parts) {
    for (const reading of readings) if (storeReading(device, reading, problems, context)) news.push(reading)
  }
  // A will is what the device said long before, so it is no sign of life.
  if (!isWill) {
    device.lastSeen = Math.max(device.lastSeen, message.receivedAt)
    const counts = news.length > 0 || parts.some((part) => part.digest !== undefined)
    addMessage(device.inbox, message.receivedAt, counts, message.trace)
    if (!parts.some((part) => part.hello)) addLife(device.inbox, message.receivedAt, parts[0]?.id)
  }
  // A repetition tells how long it was under way, not what its clock is worth.
  if (decoded.ownTime !== null && parts.length > 0 && noteClock(device, decoded.ownTime, message.receivedAt)) touch(work, device, true)
  addReadings(device.inbox, news)
  for (const { name } of news) device.mergedTexts.changed(name)
  for (const part of parts) {
    if (part.response) context.responses.take(device, part.response, message, part.id, problems)
    else if (part.update) context.updateWords.take(device, part.update, message, part.id, problems)
    else if (part.hello || part.event || part.report) addToInbox(device, part, message, problems)
  }
  if (problems.length > 0) addDeadLetter(work, device, message, problems, decoded.problemCount)
}

/** Two bridges may hand in a goodbye after what the device sent later: it is old news, and only a sign that it was there. */
function withoutOldGoodbye(parts: readonly Part[], { receivedAt }: LogMessage, { lastSeen }: Device): readonly Part[] {
  return receivedAt >= lastSeen ? parts : parts.filter(({ hello }) => hello?.status !== 'offline')
}

/** What was not processed before: by the ids that the device gave, or what stands for them. */
function unseenParts({ parts }: Decoded, { incarnation, receivedAt }: LogMessage, seen: Set<string>, work: Work): readonly Part[] {
  if (!parts.some((part) => part.digest !== undefined)) return parts
  return parts.filter(({ digest }) => {
    if (digest === undefined) return true
    const key = `${incarnation} ${digest}`
    if (seen.has(key)) return false
    seen.add(key)
    work.changes.messageIds.push({ incarnation, digest, seenAt: receivedAt })
    return true
  })
}

/** True when the reading is news: later than every earlier one of its property. */
function storeReading(device: Device, reading: Reading, problems: Problem[], { work, properties }: ApplyContext): boolean {
  const property = properties.of(device.tenant, reading.name)
  if (property === undefined) {
    problems.push({ reason: 'too-many-names', path: `/${reading.name}`, detail: 'the tenant uses more property names than it may' })
    return false
  }
  const before = device.latest[reading.name]
  if (before === undefined && ++device.names > NAMES_PER_DEVICE) {
    device.names--
    problems.push({ reason: 'too-many-names', path: `/${reading.name}`, detail: `a device has at most ${NAMES_PER_DEVICE} properties` })
    return false
  }
  const isNews = before === undefined || reading.ts > before[1]
  if (mergeLatest(device.latest, reading)) device.latestTexts.changed(reading.name)
  const row: DeviceReading = Object.assign(reading, { incarnation: device.incarnation, property })
  if (isNews) work.changes.news.push(row)
  else work.changes.late.push(row)
  return isNews
}

/** What finds no room is refused as a whole: that comes first, whatever else is wrong with it, or the device would not hear of it. */
function addToInbox(
  { inbox }: Device,
  { id, hello, event, report }: Part,
  { kind, receivedAt: at }: LogMessage,
  problems: Problem[],
): void {
  const messageId = id === undefined ? {} : { messageId: id }
  if (hello) addHello(inbox, { kind: 'hello', at, ...hello, ...(kind === 'will' ? { will: true } : {}), ...messageId })
  if (event && !addInput(inbox, { kind: 'event', at, ...event, ...messageId })) {
    problems.unshift({ reason: 'inbox-full', path: '', detail: 'more device events wait for the twin than it can hold' })
  }
  if (report && !addReported(inbox, { kind: 'reported', at, ...report, ...messageId })) {
    problems.unshift({ reason: 'inbox-full', path: '', detail: 'more reports wait for the twin than it can hold' })
  }
}

function applyConnection(device: Device, { kind, connection = 0, stream, receivedAt }: LogMessage): void {
  device.lastSeen = Math.max(device.lastSeen, receivedAt)
  passTime(device.inbox, receivedAt)
  if (kind === 'connect') {
    if (device.connection !== null && device.connection[0] > connection) return
    device.connection = [connection, stream]
    addLife(device.inbox, receivedAt)
  } else if (device.connection?.[0] === connection) {
    device.connection = null
  }
}
