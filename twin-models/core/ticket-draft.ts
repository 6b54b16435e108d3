/** A step of a ticket while it is made: its state, the lines of its story, and who is told what. */
import { time } from './markdown.ts'
import type { Severity } from './rule-types.ts'
import type {
  TicketChange,
  TicketNotice,
  TicketOrigin,
  TicketPlan,
  TicketState,
  TicketStatus,
  TicketStory,
  TicketVia,
} from './ticket-types.ts'

/** So many alarms stand in its story each by itself; the others are counted. */
export const ALARMS_TOLD = 20
/** Lines of the story that are carried, and how much of each; all of it stands in Postgres. */
const CARRIED = { lines: 10, characters: 300 }
const MOST_TOLD = 20
/** A round in vain doubles the time to accept, up to this. */
const LONGEST_ROUND_MS = 86_400_000
/** And a deadline that was missed is said again after twice the time, up to this. */
const LONGEST_MISSED_MS = 7 * 86_400_000

const UNACCEPTED: ReadonlySet<TicketStatus> = new Set<TicketStatus>(['open', 'notified', 'reassigned', 'escalated', 'reopened'])

export function isUnaccepted({ status }: TicketState): boolean {
  return UNACCEPTED.has(status)
}

export function isOver({ status }: TicketState): boolean {
  return status === 'closed' || status === 'cancelled'
}

/** When it is said that it is not done in time. What an earlier version carried of one that was late has its reminder as `dueAt`. */
export function saysLateAt({ dueAt, remindAt }: TicketState): number {
  return remindAt ?? dueAt
}

/** What a sentence says of it. */
export function dueWords({ dueAt, missed }: TicketState, now: number): string {
  return missed > 0 ? `was to be done by ${time(dueAt)}` : `is to be done by ${time(Math.max(dueAt, now))}`
}

/** Somebody has to do something about it: it is neither over nor being verified. */
export function isOwed(state: TicketState): boolean {
  return !isOver(state) && state.status !== 'done' && state.status !== 'verifying'
}

type Changes = { [member in keyof TicketState]?: TicketState[member] | undefined }

export class TicketDraft {
  state: TicketState
  readonly plan: TicketPlan
  readonly now: number
  readonly #origin: TicketOrigin | undefined
  readonly #story: TicketStory[] = []
  readonly #notices = new Map<string, TicketNotice>()

  constructor(state: TicketState, plan: TicketPlan, now: number, origin?: TicketOrigin) {
    this.state = state
    this.plan = plan
    this.now = now
    this.#origin = origin
  }

  /** Undefined takes a member away. */
  set(changes: Changes): void {
    const all = Object.entries({ ...this.state, ...changes }).filter(([, value]) => value !== undefined)
    this.state = Object.fromEntries(all) as unknown as TicketState
  }

  /** A line of its story. `via` null: it is of somebody else than who asks. */
  say(what: string, text: string, by?: string, via: TicketVia | null | undefined = this.#origin?.via): void {
    const line: TicketStory = { at: this.now, what, ...(by !== undefined && { by }), ...(by !== undefined && via && { via }), text }
    this.#story.push(line)
    const carried = { ...line, text: text.length > CARRIED.characters ? `${text.slice(0, CARRIED.characters)}…` : text }
    this.set({ story: [...this.state.story, carried].slice(-CARRIED.lines), stories: this.state.stories + 1 })
  }

  /** These have something to do. */
  fire(targets: Array<string | null | undefined>, text: string): void {
    for (const target of targets) {
      if (target === null || target === undefined) continue
      this.#notices.set(target, { target, status: 'firing', subject: this.#subject(), text })
      this.set({ told: [...this.state.told.filter((told) => told !== target), target].slice(-MOST_TOLD) })
    }
  }

  /** Those that were told, but for `except`, have nothing to do any more. */
  resolve(text: string, except?: string): void {
    for (const target of this.state.told)
      if (target !== except) this.#notices.set(target, { target, status: 'resolved', subject: this.#subject(), text })
    this.set({ told: this.state.told.filter((target) => target === except) })
  }

  /** Everybody who may have to do with it. */
  everybody(): string[] {
    return [...new Set([...this.plan.onCall, ...this.state.told])]
  }

  /** `severity`: as it is from now on. Deadlines that a worse one makes shorter. */
  hasten(severity: Severity): void {
    const { asked, since, missed, dueAt } = this.state
    const { acceptMs, doneMs } = this.plan.deadlines[severity]
    this.set({
      severity,
      ...(asked && { asked: { ...asked, until: Math.min(asked.until, this.now + acceptMs) } }),
      dueAt: missed > 0 ? dueAt : Math.min(dueAt, since + doneMs),
    })
  }

  /** `target` is to accept it, until when the next one is told. `first`: of those since it was opened or reopened. */
  ask(target: string | null, status: TicketStatus): number {
    const { acceptMs } = this.#deadline()
    const rounds = Math.floor(this.state.waits / Math.max(1, this.plan.onCall.length))
    const until = this.now + Math.min(acceptMs * 2 ** Math.min(rounds, 30), Math.max(acceptMs, LONGEST_ROUND_MS))
    this.set({ status, asked: { target, until }, assignee: undefined, planned: undefined })
    return until
  }

  /** The next one on call; null: nobody is. */
  turn(): string | null {
    const { onCall } = this.plan
    const place = onCall.length === 0 ? 0 : this.state.turn % onCall.length
    this.set({ turn: place + 1 })
    return onCall[place] ?? null
  }

  /** It was to be done by now: when that is said again. */
  miss(): void {
    const { doneMs } = this.#deadline()
    const missed = this.state.missed + 1
    this.set({ missed, remindAt: this.now + Math.min(doneMs * 2 ** Math.min(missed, 30), Math.max(doneMs, LONGEST_MISSED_MS)) })
  }

  change(more: Pick<TicketChange, 'event' | 'maintenance' | 'predict' | 'predictSince'>): TicketChange {
    return {
      ...{ state: this.state, story: this.#story, notices: [...this.#notices.values()] },
      ...more,
      ...(this.#origin && { origin: this.#origin }),
    }
  }

  #subject(): string {
    return `[${this.state.severity}] ${this.plan.title}`
  }

  #deadline() {
    return this.plan.deadlines[this.state.severity]
  }
}

/** `15 minutes`, as sentences say it. */
export function lasting(ms: number): string {
  for (const [unit, length] of UNITS)
    if (ms >= length && (ms % length === 0 || ms >= 10 * length)) return counted(Math.round(ms / length), unit)
  return counted(ms, 'millisecond')
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
