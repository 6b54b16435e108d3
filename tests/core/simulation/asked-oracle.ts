/**
 * Watches what is asked of twins and what their devices say to it, as it becomes true: each request is taken once and answered once, no last
 * word is lost, and a twin decides on all of it exactly what one decides that is fed singly (asked-reference.ts). What it leaves for its
 * device to hear is what is wished and not so.
 */
import type { Decision } from '../../../activities/ports.ts'
import type { InboxChange } from '../../../api/ingest/lane-store.ts'
import { isOutstanding } from '../../../twin-models/core/delta.ts'
import { same } from '../../../twin-models/core/plain.ts'
import type { Batch, TwinEvent, TwinInput, TwinState } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import type { AskedReference } from './asked-reference.ts'
import { isAsked } from './asked-reference.ts'
import { CommandLedger } from './command-ledger.ts'
import { UpdateLedger } from './update-ledger.ts'
import type { World } from './world.ts'

export class AskedOracle {
  readonly counts = { asked: 0, answered: 0, refusals: 0, converged: 0, diverged: 0, conflicts: 0, lateWords: 0, deadlines: 0 }
  readonly commands: CommandLedger
  readonly updates: UpdateLedger
  /** Requests that REST has acknowledged. */
  readonly acknowledged = new Set<string>()
  readonly #answered = new Set<string>()
  readonly #versions = new Map<number, number>()
  readonly #world: World
  readonly #db: MemoryDatabase

  constructor(world: World, db: MemoryDatabase) {
    this.#world = world
    this.#db = db
    this.commands = new CommandLedger(world, db)
    this.updates = new UpdateLedger(world, db)
  }

  /** An inbox is to be written: a last word on a command that has not ended waits in it, unless there was no room. */
  checkWords(reference: AskedReference, { incarnation, pending, sealed }: InboxChange): void {
    const words = reference.words.splice(0)
    const open = words.filter(({ id }) => {
      const command = this.#db.commands.get(id)
      return command?.incarnation === incarnation && command.endedAt === null
    })
    if (open.length === 0) return
    const waiting = [...inputsOf(sealed), ...inputsOf(pending)]
    for (const { id, status } of open) {
      const waits = waiting.some((input) => input.kind === 'command-answer' && input.id === id && input.status === status)
      if (!waits) this.#world.fail('no last word is lost', `device ${incarnation}: ${status} of command ${id}`)
    }
  }

  /** By a decision, and not since its device was removed. */
  isDecided(request: string): boolean {
    return this.#answered.has(request)
  }

  /** A decision was just written. `sealed`: what it consumed, if it did. */
  decided(decision: Decision, reference: AskedReference, sealed: string | undefined): void {
    const { incarnation, seq, events: all, answers, state } = decision
    const inputs = inputsOf(sealed ?? null)
    const events = all.filter(isAsked)
    this.#count(events)
    if (sealed !== undefined) this.#compare(decision, reference, events, reference.takeSeal(inputs, seq === 1))
    else if (events.length > 0) this.#compare(decision, reference, events, reference.takeTimer(events[0]!.at, this.#sent(incarnation)))
    this.#takeAnswers(decision, inputs, answers, reference)
    for (const event of events) {
      if (event.kind === 'command-ended') this.commands.ended(event)
      if (event.kind === 'desired-changed' || event.kind === 'desired-conflict') this.#checkVersion(incarnation, event)
    }
    this.commands.check(incarnation)
    this.updates.decided(decision)
    this.#checkWish(incarnation, state.desired)
    if (!same(state.desired.state, reference.wished))
      this.#fail('what is wished is what was asked for', incarnation, state.desired.state, reference.wished)
  }

  #compare({ incarnation, state }: Decision, reference: AskedReference, events: TwinEvent[], expected: TwinEvent[]): void {
    const [is, wanted] = [events.map(withoutCause), expected.map(withoutCause)]
    if (!same(is, wanted)) this.#fail('a twin decides on what is asked as one fed singly', incarnation, is, wanted)
    const [knows, should] = [askedPart(state), askedPart(reference.state)]
    if (!same(knows, should)) this.#fail('a twin knows what was asked as one fed singly', incarnation, knows, should)
  }

  #sent(incarnation: number): string[] {
    return this.#db
      .commandsOf(incarnation)
      .filter(({ sentAt }) => sentAt !== null)
      .map(({ id }) => id)
  }

  #takeAnswers({ incarnation }: Decision, inputs: TwinInput[], answers: Decision['answers'], { refused }: AskedReference): void {
    const asked = inputs.flatMap((input) => ('request' in input ? [input.request] : []))
    const ofOthers = new Set(inputs.flatMap((input) => (input.kind === 'update' || input.kind === 'alarm' ? [input.request] : [])))
    if (asked.join() !== answers.map(({ request }) => request).join())
      this.#fail('each request is answered by the decision that takes it', incarnation, answers, asked)
    for (const { request, answer } of answers) {
      if (this.#answered.has(request)) this.#world.fail('each request is decided once', `device ${incarnation}: ${request}`)
      this.#answered.add(request)
      this.counts.answered++
      const isRefused = 'refused' in (answer as object)
      if (isRefused) this.counts.refusals++
      if (!ofOthers.has(request) && isRefused !== refused.has(request))
        this.#fail('a wish for another version is refused, and no other', incarnation, answer, [...refused])
      const row = this.#db.requests.get(request)
      if (row?.answer !== JSON.stringify(answer)) this.#fail('an answer is there for who asked', incarnation, row, answer)
    }
  }

  /** Each wish that changes something has one of its own, the next; what a device does by itself has none, or all of one report the next. */
  #checkVersion(incarnation: number, { kind, version }: Extract<TwinEvent, { kind: 'desired-changed' | 'desired-conflict' }>): void {
    const before = this.#versions.get(incarnation) ?? 0
    const isNext = version === before + 1 || (kind === 'desired-conflict' && (version === before || version === before - 1))
    if (!isNext) this.#fail('desired versions rise by one', incarnation, version, before + 1)
    this.#versions.set(incarnation, Math.max(before, version))
  }

  /** The row that bridges look at. */
  #checkWish(incarnation: number, { version, leaves }: TwinState['desired']): void {
    const newest = this.#versions.get(incarnation) ?? 0
    if (version !== newest) this.#fail('desired versions rise by one', incarnation, version, newest)
    const { version: told = 0, body = null } = this.#db.wishes.get(incarnation) ?? {}
    if (told !== version || (body !== null) !== Object.values(leaves).some(isOutstanding))
      this.#fail('what is told is what is wished and not so', incarnation, { told, body }, { version, leaves })
  }

  #count(events: TwinEvent[]): void {
    for (const event of events) {
      if (event.kind === 'desired-converged') this.counts.converged++
      else if (event.kind === 'desired-diverged') this.counts.diverged++
      else if (event.kind === 'desired-conflict') this.counts.conflicts++
      else if (event.kind === 'command-late') this.counts.lateWords++
      if (event.kind !== 'command-late' && event.cause.by === 'timer') this.counts.deadlines++
    }
  }

  #fail(rule: string, incarnation: number, is: unknown, expected: unknown): never {
    return this.#world.fail(rule, `device ${incarnation}\n  is       ${JSON.stringify(is)}\n  expected ${JSON.stringify(expected)}`)
  }
}

function withoutCause({ cause: _, ...event }: TwinEvent): object {
  return event
}

export function askedPart({ desired, reported, commands, endedCommands }: TwinState): Partial<TwinState> {
  return { desired, reported, commands, endedCommands }
}

function inputsOf(json: string | null): TwinInput[] {
  return json === null ? [] : (JSON.parse(json) as Batch).inputs
}
