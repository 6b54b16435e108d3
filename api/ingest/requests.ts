/**
 * Requests to twins as inputs of their inboxes. A body is checked as far as the twin relies on it: it may be of a newer version of the code
 * than this one, or have been written by hand.
 */
import type { AlarmAsk, CommandRequest, MaintenanceAsk, TwinInput, UpdateRequest, WishRequest } from '../../twin-models/core/types.ts'
import type { TwinRequest } from './lane-store.ts'

/** A twin has it written into the row of that id. */
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i
/** The end of the year 9999. */
const LAST_MS = 253_402_300_799_999
const LONGEST_MS = 10 * 365 * 86_400_000
const LONGEST_LIST = 500
const MOST_ATTEMPTS = 100
const DAY_MS = 86_400_000
/** REST allows a day less: its clock may be another. */
const LONGEST_SHELF_MS = 366 * DAY_MS
const LONGEST_MAINTENANCE_MS = 31 * DAY_MS
const ALARM_ACTIONS: ReadonlySet<unknown> = new Set<AlarmAsk['action']>(['acknowledge', 'shelve', 'unshelve', 'clear', 'assign', 'comment'])
const NAME_LENGTH = 128
const WHO_LENGTH = 256
const NOTE_LENGTH = 1_000

type Body = { [key: string]: unknown }

/** Undefined when this code does not understand it. */
export function inputOf({ id: request, kind, body: text }: TwinRequest, at: number): TwinInput | undefined {
  if (kind === 'deliver') return { kind, at, request }
  const body = bodyOf(text)
  if (body === undefined) return undefined
  if (kind === 'wish' && isWish(body)) return { ...body, kind, at, request }
  if (kind === 'command' && isCommand(body)) return { kind, at, request, command: body }
  if (kind === 'cancel' && isCancel(body)) return { ...body, kind, at, request }
  if (kind === 'update' && isUpdate(body)) return { kind, at, request, update: body }
  if (kind === 'cancel-update' && isCancel(body)) return { ...body, kind, at, request }
  if (kind === 'alarm' && isAlarm(body, at)) return { ...body, kind, at, request }
  if (kind === 'maintenance' && isMaintenance(body, at)) return { ...body, kind, at, request }
  return undefined
}

function bodyOf(text: string): Body | undefined {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

function isWish(body: Body): body is Body & WishRequest {
  const { patch, replace, ifVersion, deadlineMs, retryMs } = body
  const isOne = patch === undefined ? isObject(replace) : isObject(patch) && replace === undefined
  return isOne && areTexts(body, 'by') && [ifVersion, deadlineMs, retryMs].every((number) => number === undefined || isNumber(number))
}

function isCommand(body: Body): body is Body & CommandRequest {
  const { expiresAt, repeatable, concurrency, onlyLast } = body
  return (
    areTexts(body, 'id', 'name', 'by') &&
    isNumber(expiresAt) &&
    typeof repeatable === 'boolean' &&
    (concurrency === undefined || isNumber(concurrency)) &&
    (onlyLast === undefined || typeof onlyLast === 'boolean')
  )
}

function isCancel(body: Body): body is Body & { id: string; by: string } {
  return areTexts(body, 'id', 'by')
}

/** Times and durations within bounds: sums of them stay times. A twin carries its update, so its lists are short. */
function isUpdate(body: Body): body is Body & UpdateRequest {
  const { id, rollout, kind, firmware, fromVersions, minBattery, windows, offerUntil, installMs, soakMs, silenceMs, retryMs } = body
  return (
    areTexts(body, 'by') &&
    typeof id === 'string' &&
    UUID.test(id) &&
    (rollout === undefined || typeof rollout === 'string') &&
    (kind === 'install' || kind === 'rollback') &&
    isObject(firmware) &&
    areTexts(firmware, 'version', 'sha256') &&
    (fromVersions === undefined || isShortList(fromVersions, (version) => typeof version === 'string')) &&
    (minBattery === undefined || isNumber(minBattery)) &&
    (windows === undefined || isShortList(windows, isWindow)) &&
    isWithin(offerUntil, 0, LAST_MS) &&
    [soakMs, silenceMs].every((duration) => isWithin(duration, 0, LONGEST_MS)) &&
    [installMs, retryMs].every((duration) => isWithin(duration, 1, LONGEST_MS)) &&
    isWithin(body.attempts, 1, MOST_ATTEMPTS) &&
    isNumber(body.precedence)
  )
}

/** What is said of an alarm stands in its row, and goes to people: as columns and messages take it. */
function isAlarm(body: Body, at: number): body is Body & AlarmAsk {
  const { rule, n, by, note, action, until, assignee } = body
  return (
    isPlain(rule, NAME_LENGTH) &&
    (n === undefined || isNumber(n)) &&
    isPlain(by, WHO_LENGTH) &&
    (note === undefined ? action !== 'comment' : isPlain(note, NOTE_LENGTH)) &&
    ALARM_ACTIONS.has(action) &&
    (action !== 'shelve' || isWithin(until, 0, at + LONGEST_SHELF_MS)) &&
    (action !== 'assign' || assignee === null || isPlain(assignee, NAME_LENGTH))
  )
}

function isMaintenance(body: Body, at: number): body is Body & MaintenanceAsk {
  const { until, by, ticket, reason } = body
  return (
    (until === null || isWithin(until, 0, at + LONGEST_MAINTENANCE_MS)) &&
    isPlain(by, WHO_LENGTH) &&
    (ticket === undefined || ticket === true) &&
    (reason === undefined || isPlain(reason, NOTE_LENGTH))
  )
}

function isPlain(text: unknown, longest: number): boolean {
  return typeof text === 'string' && text !== '' && text.length <= longest && text.isWellFormed() && !text.includes('\0')
}

function isWindow(window: unknown): boolean {
  return Array.isArray(window) && window.length === 2 && window.every((time) => isWithin(time, 0, LAST_MS)) && window[0] < window[1]
}

function isShortList(list: unknown, isGood: (entry: unknown) => boolean): boolean {
  return Array.isArray(list) && list.length <= LONGEST_LIST && list.every(isGood)
}

function isWithin(value: unknown, least: number, greatest: number): boolean {
  return isNumber(value) && value >= least && value <= greatest
}

function areTexts(body: Body, ...names: string[]): boolean {
  return names.every((name) => typeof body[name] === 'string')
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
