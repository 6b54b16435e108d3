/**
 * Keeps book on every command from its request to its end, by what REST wrote, bridges claimed and sent, and devices heard and said; and holds
 * it to what must always be so: nothing is sent that was not claimed just before, nothing after the end but a cancel, what may not be repeated
 * at most once, and one end, for a reason that is there, which stays.
 */
import type { Pending } from '../../../api/downlink.ts'
import type { CommandRequest, TwinEvent } from '../../../twin-models/core/types.ts'
import type { CommandRecord, MemoryDatabase } from '../../support/memory-database.ts'
import type { World } from './world.ts'

type Ended = Extract<TwinEvent, { kind: 'command-ended' }>

interface Entry {
  rules: CommandRequest
  /** Attempts that were claimed and not sent yet. */
  claimed: Set<number>
  sent: number
  heard: number
  /** Last words that its device has said, as `status code`. */
  said: Set<string>
  cancelAsked: boolean
  /** As its row stood just after its end. */
  end: string | undefined
}

export class CommandLedger {
  readonly counts = { commands: 0, commandsSent: 0, cancelsSent: 0, commandsEnded: 0, desiredSent: 0 }
  readonly #world: World
  readonly #db: MemoryDatabase
  readonly #entries = new Map<string, Entry>()
  /** Bodies of desired state that were claimed and not sent yet, by device. */
  readonly #desired = new Map<number, string[]>()

  constructor(world: World, db: MemoryDatabase) {
    this.#world = world
    this.#db = db
  }

  /** REST wrote it, whether it knows or not. */
  requested(rules: CommandRequest): void {
    this.counts.commands++
    const open = { claimed: new Set<number>(), sent: 0, heard: 0, said: new Set<string>(), cancelAsked: false, end: undefined }
    this.#entries.set(rules.id, { rules, ...open })
  }

  cancelRequested(id: string): void {
    this.#of(id).cancelAsked = true
  }

  /** A bridge claimed this, whether it knows or not. */
  claimed(incarnation: number, { desired, commands }: Pending): void {
    if (desired) this.#desired.set(incarnation, [...(this.#desired.get(incarnation) ?? []), desired.body].slice(-20))
    for (const { id, attempt } of commands) {
      const { rules, claimed } = this.#of(id)
      const { endedAt, releasedAt, incarnation: owner } = this.#row(id)
      const what = `command ${id} of device ${incarnation}, attempt ${attempt}`
      if (owner !== incarnation) this.#world.fail('a device is told only what is its own', what)
      if (endedAt !== null) this.#world.fail('nothing is sent after the end but a cancel', what)
      if (releasedAt === null) this.#world.fail('nothing is sent before its twin lets it go', what)
      if (rules.expiresAt <= this.#world.now) this.#world.fail('nothing is sent that has expired', what)
      if (!rules.repeatable && attempt > 1) this.#world.fail('what may not be repeated is sent at most once', what)
      claimed.add(attempt)
    }
  }

  /** A bridge hands it to a connection, or into an answer. */
  sent(incarnation: number, subtopic: string, payload: string): void {
    const [kind, id = '', what] = subtopic.split('/')
    if (kind === 'updates') return
    if (kind === 'desired') this.#desiredSent(incarnation, payload)
    else if (what === 'cancel') this.#cancelSent(id)
    else this.#commandSent(id, payload)
  }

  #cancelSent(id: string): void {
    this.counts.cancelsSent++
    if (this.#row(id).cancelAt === null) this.#world.fail('a cancel is of a command that was cancelled', `command ${id}`)
  }

  #commandSent(id: string, payload: string): void {
    const entry = this.#of(id)
    this.counts.commandsSent++
    entry.sent++
    const { attempt } = JSON.parse(payload) as { attempt: number }
    // Also what is sent twice by one claim, and what is sent after the end: that cannot be claimed.
    if (!entry.claimed.delete(attempt)) this.#world.fail('what is sent was claimed just before', `command ${id}, attempt ${attempt}`)
    if (!entry.rules.repeatable && entry.sent > 1) this.#world.fail('what may not be repeated is sent at most once', `command ${id}`)
  }

  heard(id: string): void {
    const entry = this.#of(id)
    if (++entry.heard > 1 && !entry.rules.repeatable) this.#world.fail('what may not be repeated is heard at most once', `command ${id}`)
  }

  said(id: string, status: string, code = ''): void {
    this.#of(id).said.add(`${status} ${code}`)
  }

  /** A decision that ends it was just written. */
  ended(event: Ended): void {
    const { id } = event
    const entry = this.#of(id)
    this.counts.commandsEnded++
    if (entry.end !== undefined) this.#world.fail('a command ends once', `command ${id}: ${entry.end}, then ${JSON.stringify(event)}`)
    const row = this.#row(id)
    if (row.status !== event.status || row.code !== (event.code ?? null) || row.endedAt === null)
      this.#world.fail('the first end of a command stays', `command ${id} is ${JSON.stringify(row)} after ${JSON.stringify(event)}`)
    if (!isGrounded(event, entry, row))
      this.#world.fail('a command ends for a reason', `${JSON.stringify(event)}, ${JSON.stringify(row)}, said: ${[...entry.said].join()}`)
    entry.end = endOf(row)
  }

  /** After anything that may have touched the commands of this device. */
  check(incarnation: number): void {
    const underWay = new Map<string, number>()
    for (const row of this.#db.commandsOf(incarnation)) {
      const { rules, end } = this.#of(row.id)
      if (end !== undefined && end !== endOf(row))
        this.#world.fail('the first end of a command stays', `command ${row.id} ended as ${end}, is ${endOf(row)}`)
      if (end === undefined && row.endedAt !== null && row.code !== 'device-removed')
        this.#world.fail('a command ends by a decision', `command ${row.id}: ${endOf(row)}`)
      if (row.endedAt !== null || row.releasedAt === null) continue
      const others = underWay.get(row.name) ?? 0
      underWay.set(row.name, others + 1)
      if (others >= (rules.onlyLast ? 1 : (rules.concurrency ?? Infinity)))
        this.#world.fail('as many of a name are under way as may be', `device ${incarnation}: ${others + 1} of ${row.name}`)
    }
  }

  #desiredSent(incarnation: number, body: string): void {
    this.counts.desiredSent++
    const claimed = this.#desired.get(incarnation) ?? []
    const at = claimed.indexOf(body)
    if (at < 0) this.#world.fail('what is sent was claimed just before', `device ${incarnation}: ${body}`)
    claimed.splice(at, 1)
  }

  #of(id: string): Entry {
    return this.#entries.get(id) ?? this.#world.fail('only commands that were requested are under way', `command ${id}`)
  }

  #row(id: string): CommandRecord {
    return this.#db.commands.get(id)!
  }
}

function endOf({ status, code, endedAt }: CommandRecord): string {
  return `${status} ${code ?? ''} at ${endedAt}`
}

/** Devices say it, somebody asked for it, or its time was over. */
function isGrounded({ at, status, code = '' }: Ended, { rules, said, cancelAsked }: Entry, { sentAt }: CommandRecord): boolean {
  const { expiresAt, repeatable, onlyLast } = rules
  const mayBeDone = !repeatable && sentAt !== null
  if (status === 'expired') return at >= expiresAt && !mayBeDone
  if (status === 'failed' && code === 'unknown') return at >= expiresAt && mayBeDone
  if (status === 'cancelled') return code === 'superseded' ? onlyLast === true : code === 'cancelled' && cancelAsked
  return said.has(`${status} ${code}`)
}
