/**
 * What is pending of devices, in memory, for the simulation: infra/postgres/downlink.ts, held to the same suite
 * (tests/conformance/downlink-store.ts). Each claim is done at once, as its one statement is in Postgres.
 */
import { type Ask, COMMANDS_AT_ONCE, type Pending, type PendingCommand, type PendingUpdate, UPDATE_RETRY_MS } from '../../api/downlink.ts'
import { isNothing, NOTHING } from '../../api/http/hand-out.ts'
import type { CommandRecord, MemoryDatabase, UpdateRecord, WishRecord } from './memory-database.ts'

const CANCELS_AT_ONCE = 20
/** Where devices download from. */
export const DEVICE_URL = 'http://127.0.0.1:8081'

/** `isLocked`: somebody else is writing the row at the moment, so a claim leaves it to him. */
export function memoryDownlinkStore(db: MemoryDatabase, isLocked: () => boolean = () => false) {
  return { claim, list, whenDue, cancelsTold }

  function claim(asks: Ask[]): Map<number, Pending> {
    const found = new Map<number, Pending>()
    for (const ask of asks) {
      const { incarnation } = ask
      const wish = db.wishes.get(incarnation)
      const desired = wish && isWishDue(wish, ask) && !isLocked() ? claimWish(wish, db.clock()) : null
      const due = open(incarnation).filter((command) => isCommandDue(command, ask) && !isLocked())
      const cancels = ask.cancels ? cancelsOf(incarnation) : []
      const commands = due.slice(0, COMMANDS_AT_ONCE).map((command) => claimCommand(command, db.clock()))
      const told = openUpdates(incarnation).find((update) => isUpdateDue(update, ask) && !isLocked())
      const update = told ? claimUpdate(told) : null
      const pending = {
        ...NOTHING,
        desired,
        commands,
        cancels,
        update,
        updateCancels: ask.updateCancels ? updateCancelsOf(incarnation) : [],
      }
      if (!isNothing(pending)) found.set(incarnation, pending)
    }
    return found
  }

  function list(incarnations: number[]): Map<number, Pending> {
    const found = new Map<number, Pending>()
    for (const incarnation of incarnations) {
      const { body = null, attempts = 0 } = db.wishes.get(incarnation) ?? {}
      const listed = open(incarnation).filter(({ attempts, repeatable }) => attempts === 0 || repeatable)
      const commands = listed.slice(0, COMMANDS_AT_ONCE).map(pendingCommand)
      const [told] = openUpdates(incarnation)
      const update = told ? pendingUpdate(told) : null
      const ended = { cancels: cancelsOf(incarnation), updateCancels: updateCancelsOf(incarnation) }
      const pending = { ...NOTHING, desired: body === null ? null : { body, attempt: attempts }, commands, update, ...ended }
      if (!isNothing(pending)) found.set(incarnation, pending)
    }
    return found
  }

  function whenDue(asks: Ask[]): Map<number, number> {
    const found = new Map<number, number>()
    const now = db.clock()
    for (const { incarnation, desired, commands, cancels, updates, updateCancels } of asks) {
      const times: number[] = []
      const wish = db.wishes.get(incarnation)
      if (desired !== 'none' && wish && wish.body !== null && !wish.answered) times.push(dueAt(wish) ?? now)
      if (commands !== 'none') for (const command of open(incarnation)) if (isRetried(command)) times.push(dueAt(command) ?? now)
      if (cancels && cancelsOf(incarnation).length > 0) times.push(now)
      if (updates !== 'none')
        for (const update of openUpdates(incarnation)) if (update.answeredAt === null) times.push(updateDueAt(update) ?? now)
      if (updateCancels && updateCancelsOf(incarnation).length > 0) times.push(now)
      if (times.length > 0) found.set(incarnation, Math.ceil(Math.max(Math.min(...times) - now, 0)))
    }
    return found
  }

  function cancelsTold(ids: string[]): void {
    for (const id of ids) {
      const told = db.commands.get(id) ?? db.updates.get(id)
      if (told) told.cancelSentAt ??= db.clock()
    }
  }

  function isWishDue(wish: WishRecord, { desired }: Ask): boolean {
    return desired !== 'none' && wish.body !== null && (desired === 'all' || (!wish.answered && isDue(wish)))
  }

  function isCommandDue(command: CommandRecord, { commands, after }: Ask): boolean {
    if (commands === 'none' || !isSendable(command)) return false
    return (commands === 'all' && command.number > after) || (isRetried(command) && isDue(command))
  }

  /** Such as a device may be given: it will not have expired on the way. */
  function open(incarnation: number): CommandRecord[] {
    const soon = db.clock() + 1_000
    const isOpen = ({ endedAt, releasedAt, expiresAt }: CommandRecord) => endedAt === null && releasedAt !== null && expiresAt > soon
    return db.commandsOf(incarnation).filter(isOpen)
  }

  function cancelsOf(incarnation: number): string[] {
    const untold = db.commandsOf(incarnation).filter(({ cancelAt, cancelSentAt }) => cancelAt !== null && cancelSentAt === null)
    return untold.slice(0, CANCELS_AT_ONCE).map(({ id }) => id)
  }

  /** Those that the device may be told. */
  function openUpdates(incarnation: number): UpdateRecord[] {
    const soon = db.clock() + 1_000
    const isOpen = ({ job, until, firmware }: UpdateRecord) => job !== null && until! > soon && db.firmware.get(firmware)?.isUsable
    return db.updatesOf(incarnation).filter(isOpen)
  }

  function updateCancelsOf(incarnation: number): string[] {
    const untold = db.updatesOf(incarnation).filter(({ cancelAt, cancelSentAt }) => cancelAt !== null && cancelSentAt === null)
    return untold.slice(0, CANCELS_AT_ONCE).map(({ id }) => id)
  }

  function isUpdateDue(update: UpdateRecord, { updates }: Ask): boolean {
    return updates === 'all' || (updates === 'due' && update.answeredAt === null && (updateDueAt(update) ?? 0) <= db.clock())
  }

  function claimUpdate(update: UpdateRecord): PendingUpdate {
    const now = db.clock()
    Object.assign(update, { toldAt: update.toldAt ?? now, sentAt: now, sends: update.sends + 1 })
    if (update.status === 'scheduled') Object.assign(update, { status: 'notified', statusAt: now })
    return pendingUpdate(update)
  }

  function pendingUpdate({ id, firmware, job, link, sends }: UpdateRecord): PendingUpdate {
    const { sha256, envelope } = db.firmware.get(firmware)!
    const url = `${DEVICE_URL}/device/v1/firmware/${sha256}?update=${id}&key=${link}`
    return { id, body: `{"job":${job},"manifest":${envelope},"url":${JSON.stringify(url)}}`, sends }
  }

  function isDue(row: WishRecord | CommandRecord): boolean {
    return (dueAt(row) ?? 0) <= db.clock()
  }
}

function claimWish(wish: WishRecord, now: number): Pending['desired'] {
  Object.assign(wish, { sentVersion: wish.version, sentAt: now, attempts: wish.attempts + 1 })
  return { body: wish.body!, attempt: wish.attempts }
}

function claimCommand(command: CommandRecord, now: number): PendingCommand {
  Object.assign(command, { sentAt: now, attempts: command.attempts + 1 })
  if (command.status === 'queued') command.status = 'sent'
  return pendingCommand(command)
}

function pendingCommand({ id, number, name, input, expiresAt, attempts, repeatable }: CommandRecord): PendingCommand {
  return { id, number, name, input, expiresAt, attempt: attempts, repeatable }
}

function isSendable({ attempts, repeatable, maxAttempts }: CommandRecord): boolean {
  return (attempts === 0 || repeatable) && attempts < maxAttempts
}

/** One that the device works on is repeated only when it comes back. */
function isRetried(command: CommandRecord): boolean {
  return isSendable(command) && command.acknowledgedAt === null
}

function dueAt({ sentAt, retryMs, attempts, incarnation }: WishRecord | CommandRecord): number | null {
  return againAt(sentAt, retryMs, attempts, incarnation)
}

function updateDueAt({ sentAt, sends, incarnation }: UpdateRecord): number | null {
  return againAt(sentAt, UPDATE_RETRY_MS, sends, incarnation)
}

/** Null: at once. Doubled each time, at most ten minutes, and up to a fifth longer. */
function againAt(sentAt: number | null, firstMs: number, times: number, incarnation: number): number | null {
  if (sentAt === null) return null
  const spread = 1 + ((incarnation * 7919 + times * 104729) % 1000) / 5000
  return sentAt + Math.min(firstMs * 2 ** Math.min(times - 1, 20), 600_000) * spread
}
