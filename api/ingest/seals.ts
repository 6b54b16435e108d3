/**
 * Which twin is told next, and which of those that were told have not answered.
 *
 * Urgent news goes as soon as the pace allows, tenants in turn and the oldest of each first; routine news when its window is over. A seal without an answer is signalled
 * again with backoff: always the same bytes, so the twin knows what it has seen.
 */
import { Deadlines } from './deadlines.ts'
import type { Device } from './device.ts'
import type { LaneDevice } from './lane-store.ts'
import { Pace, ROUTINE_SHARE, routineWindow } from './pace.ts'
import { TenantTurns } from './tenant-turns.ts'

/**
 * After a signal that Temporal took, nothing is lost unless somebody reset or ended the run: there is no hurry. One that it did not take is
 * tried again soon, however long it was away, so that all goes on when it is back. Both double each time, up to a bound.
 */
const RESEND = { taken: { first: 60_000, most: 600_000 }, refused: { first: 1_000, most: 8_000 } } as const

export interface Unanswered {
  seq: number
  sealedAt: number
  tries: number
  nextTry: number
  sending: boolean
}

export class Seals {
  readonly pace = new Pace()
  readonly #urgent = new TenantTurns()
  readonly #routine = new Deadlines()
  readonly #unanswered = new Map<number, Unanswered>()
  #routineTokens = 0
  #lastChoice = 0

  /** Devices with something pending that waits for its time. */
  get waiting(): number {
    return this.#urgent.size + this.#routine.size
  }
  get unanswered(): number {
    return this.#unanswered.size
  }
  /** Epoch ms since when the oldest urgent news waits; null when none does. */
  get oldestUrgent(): number | null {
    return this.#urgent.oldest
  }

  /** Puts the device where it belongs after its inbox changed. While a seal is unanswered, what is pending waits. */
  note({ incarnation, tenant, inbox }: Device): void {
    this.#place(incarnation, tenant, inbox.pending?.since ?? null, inbox.pending?.urgent ?? false, inbox.sealed !== null)
  }

  /** A device of a lane that was just taken over. */
  noteRow({ incarnation, tenant, pendingSince, urgent, sealedSeq, sealedAt }: LaneDevice, now: number): void {
    if (sealedSeq !== null) this.sealed(incarnation, sealedSeq, sealedAt, now)
    this.#place(incarnation, tenant, pendingSince, urgent, sealedSeq !== null)
  }

  #place(incarnation: number, tenant: string, pendingSince: number | null, urgent: boolean, unanswered: boolean): void {
    if (pendingSince === null || unanswered) {
      this.#urgent.delete(incarnation)
      this.#routine.delete(incarnation)
    } else if (urgent) {
      this.#routine.delete(incarnation)
      this.#urgent.add(incarnation, tenant, pendingSince)
    } else if (!this.#routine.has(incarnation)) {
      this.#urgent.delete(incarnation)
      this.#routine.set(incarnation, pendingSince + routineWindow(this.#routine.size))
    }
  }

  /** Takes those that may be sealed now. The caller seals each, or notes it again. */
  choose(now: number, routineToo: boolean): number[] {
    let room = this.pace.limit - this.#unanswered.size
    const chosen: number[] = []
    for (; room > 0; room--) {
      const incarnation = this.#urgent.take()
      if (incarnation === undefined) break
      chosen.push(incarnation)
    }
    if (room <= 0) return chosen
    const share = Math.floor(this.pace.limit * ROUTINE_SHARE) - this.#unanswered.size - chosen.length
    const routine = Math.min(room, share, this.#routineRoom(now))
    if (!routineToo || routine <= 0) return chosen
    const due = this.#routine.due(now, routine)
    this.#routineTokens -= due.length
    chosen.push(...due)
    return chosen
  }

  /** Routine goes evenly: a fleet that woke at one moment has its windows end at one moment too, and would take all of the machine. */
  #routineRoom(now: number): number {
    const perSecond = this.pace.routineRate(this.#routine.size)
    const gained = (perSecond * Math.max(0, now - this.#lastChoice)) / 1000
    // At least one, or a rate below one a second would never come to anything.
    this.#routineTokens = Math.min(Math.max(1, perSecond), this.#routineTokens + gained)
    this.#lastChoice = now
    return Math.floor(this.#routineTokens)
  }

  sealed(incarnation: number, seq: number, sealedAt: number, now: number): void {
    this.#unanswered.set(incarnation, { seq, sealedAt, tries: 0, nextTry: now, sending: false })
  }

  answered(incarnation: number, seq: number, now: number): void {
    const known = this.#unanswered.get(incarnation)
    if (known === undefined || known.seq > seq) return
    this.#unanswered.delete(incarnation)
    if (known.tries <= 1) this.pace.answered(now - known.sealedAt, now)
  }

  /** Those whose signal is due now. The caller sends each and says how it went. */
  toSend(now: number): Array<{ incarnation: number; seq: number }> {
    const due: Array<{ incarnation: number; seq: number }> = []
    for (const [incarnation, seal] of this.#unanswered) {
      if (seal.sending || seal.nextTry > now) continue
      seal.sending = true
      due.push({ incarnation, seq: seal.seq })
    }
    return due
  }

  sent(incarnation: number, seq: number, taken: boolean, now: number): void {
    const seal = this.#unanswered.get(incarnation)
    if (seal === undefined || seal.seq !== seq) return
    seal.sending = false
    seal.tries++
    const { first, most } = taken ? RESEND.taken : RESEND.refused
    seal.nextTry = now + Math.min(most, first * 2 ** Math.min(seal.tries - 1, 10))
    if (!taken) this.pace.slower(now)
  }

  forgetOne(incarnation: number): void {
    this.#urgent.delete(incarnation)
    this.#routine.delete(incarnation)
    this.#unanswered.delete(incarnation)
  }

  forget(keep: (incarnation: number) => boolean): void {
    for (const incarnation of [...this.#unanswered.keys()]) if (!keep(incarnation)) this.#unanswered.delete(incarnation)
    this.#urgent.retain(keep)
    this.#routine.retain(keep)
  }
}
