/**
 * What is pending of devices, in memory, for the simulation: infra/postgres/downlink.ts, held to the same suite
 * (tests/conformance/downlink-store.ts). Each claim is done at once, as its one statement is in Postgres.
 */
import { type Ask, COMMANDS_AT_ONCE, type Pending, type PendingCommand } from '../../api/downlink.ts'
import type { CommandRecord, MemoryDatabase, WishRecord } from './memory-database.ts'

const CANCELS_AT_ONCE = 20

/** `isLocked`: somebody else is writing the row at the moment, so a claim leaves it to him. */
export function memoryDownlinkStore(db: MemoryDatabase, isLocked: () => boolean = () => false) {
  return { claim, list, whenDue, cancelsTold }

  function claim(asks: Ask[]): Map<number, Pending> {
    const found = new Map<number, Pending>()
    for (const ask of asks) {
      const wish = db.wishes.get(ask.incarnation)
      const wished = wish && isWishDue(wish, ask) && !isLocked() ? claimWish(wish, db.clock()) : null
      const due = open(ask.incarnation).filter((command) => isCommandDue(command, ask) && !isLocked())
      const cancels = ask.cancels ? cancelsOf(ask.incarnation) : []
      const commands = due.slice(0, COMMANDS_AT_ONCE).map((command) => claimCommand(command, db.clock()))
      if (wished || commands.length > 0 || cancels.length > 0)
        found.set(ask.incarnation, { desired: wished, commands, cancels, errors: [] })
    }
    return found
  }

  function list(incarnations: number[]): Map<number, Pending> {
    const found = new Map<number, Pending>()
    for (const incarnation of incarnations) {
      const { body = null, attempts = 0 } = db.wishes.get(incarnation) ?? {}
      const listed = open(incarnation).filter(({ attempts, repeatable }) => attempts === 0 || repeatable)
      const commands = listed.slice(0, COMMANDS_AT_ONCE).map(pendingCommand)
      const cancels = cancelsOf(incarnation)
      const desired = body === null ? null : { body, attempt: attempts }
      if (desired || commands.length > 0 || cancels.length > 0) found.set(incarnation, { desired, commands, cancels, errors: [] })
    }
    return found
  }

  function whenDue(asks: Ask[]): Map<number, number> {
    const found = new Map<number, number>()
    const now = db.clock()
    for (const { incarnation, desired, commands, cancels } of asks) {
      const times: number[] = []
      const wish = db.wishes.get(incarnation)
      if (desired !== 'none' && wish && wish.body !== null && !wish.answered) times.push(dueAt(wish) ?? now)
      if (commands !== 'none') for (const command of open(incarnation)) if (isRetried(command)) times.push(dueAt(command) ?? now)
      if (cancels && cancelsOf(incarnation).length > 0) times.push(now)
      if (times.length > 0) found.set(incarnation, Math.ceil(Math.max(Math.min(...times) - now, 0)))
    }
    return found
  }

  function cancelsTold(ids: string[]): void {
    for (const id of ids) {
      const command = db.commands.get(id)
      if (command) command.cancelSentAt ??= db.clock()
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

/** Null: at once. Doubled each time, at most ten minutes, and up to a fifth longer. */
function dueAt({ sentAt, retryMs, attempts, incarnation }: WishRecord | CommandRecord): number | null {
  if (sentAt === null) return null
  const spread = 1 + ((incarnation * 7919 + attempts * 104729) % 1000) / 5000
  return sentAt + Math.min(retryMs * 2 ** Math.min(attempts - 1, 20), 600_000) * spread
}
