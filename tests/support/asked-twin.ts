/** A twin that is asked things and whose device answers: each input a decision of its own, at its time. */
import { consume, consumeOwn, type Step } from '../../twin-models/core/consume.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type {
  CommandRequest,
  DeviceAnswer,
  JsonObject,
  ToldUpdate,
  TwinEvent,
  TwinInput,
  TwinSettings,
  TwinState,
  UpdateAnswer,
  UpdateRequest,
  WishRequest,
} from '../../twin-models/core/types.ts'

type ReportedInput = Extract<TwinInput, { kind: 'reported' }>

type Hello = Extract<TwinInput, { kind: 'hello' }>

export const SETTINGS: TwinSettings = { model: 'thermostat', modelVersion: '1.0.0', presenceTimeoutMs: 60_000, ranges: {} }

export class AskedTwin {
  state: TwinState
  readonly events: TwinEvent[] = []
  now = 1_000
  #requests = 0

  constructor(settings: Partial<TwinSettings> = {}) {
    this.state = initialState()
    this.give({ kind: 'configured', at: 1, settings: { ...SETTINGS, ...settings } })
  }

  /** One decision. Its input is of now, and a millisecond passes. */
  give(...inputs: TwinInput[]): Step {
    const step = consume(this.state, { seq: this.state.seq + 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs } }, this.now)
    return this.#taken(step)
  }

  wish(patch: JsonObject, more: Partial<WishRequest> = {}): Step {
    return this.give({ kind: 'wish', at: this.now, request: this.#request(), by: 'ann', ...('replace' in more ? {} : { patch }), ...more })
  }

  report(state: JsonObject, more: Partial<ReportedInput> = {}): Step {
    return this.give({ kind: 'reported', at: this.now, ts: this.now, state, ...more })
  }

  command(id: string, more: Partial<CommandRequest> = {}): Step {
    const command = { id, name: 'identify', expiresAt: this.now + 300_000, repeatable: true, by: 'ann', ...more }
    return this.give({ kind: 'command', at: this.now, request: this.#request(), command })
  }

  cancel(id: string, by = 'bob'): Step {
    return this.give({ kind: 'cancel', at: this.now, request: this.#request(), id, by })
  }

  answer(id: string, answer: DeviceAnswer = { status: 'succeeded' }): Step {
    return this.give({ kind: 'command-answer', at: this.now, id, ...answer })
  }

  update(id: string, more: Partial<UpdateRequest> = {}): Step {
    const update = updateRequest(id, { offerUntil: this.now + 100_000, ...more })
    return this.give({ kind: 'update', at: this.now, request: this.#request(), update })
  }

  cancelUpdate(id: string, by = 'bob'): Step {
    return this.give({ kind: 'cancel-update', at: this.now, request: this.#request(), id, by })
  }

  answerUpdate(id: string, status: UpdateAnswer['status'], code: string, message?: string): Step {
    return this.give({ kind: 'update-answer', at: this.now, id, status, code, ...(message !== undefined && { message }) })
  }

  hello(more: Partial<Hello> = {}): Step {
    return this.give({ kind: 'hello', at: this.now, status: 'online', ...more })
  }

  /** Its own timer rings. */
  due(at: number, sent: string[] = [], update?: ToldUpdate): Step {
    this.now = at
    return this.#taken(consumeOwn(this.state, { kind: 'due', at, sent, ...(update && { update }) }, at))
  }

  status(path: string): string | undefined {
    const { status, reason } = this.state.desired.leaves[path] ?? {}
    return reason === undefined ? status : `${status} (${reason})`
  }

  get delta(): JsonObject | undefined {
    return decidedPart(this.state).delta
  }

  #taken(step: Step): Step {
    this.state = step.state
    this.events.push(...step.events)
    this.now++
    return step
  }

  #request(): string {
    return `r-${++this.#requests}`
  }
}

/** To version 2, whose hash is `two`; 100 s to tell of it, 10 s to install, 20 s to soak, 30 s of silence, 3 attempts a second apart at first. */
export function updateRequest(id: string, more: Partial<UpdateRequest> = {}): UpdateRequest {
  const times = { offerUntil: 100_000, installMs: 10_000, soakMs: 20_000, silenceMs: 30_000, attempts: 3, retryMs: 1_000 }
  return { id, kind: 'install', firmware: { version: '2', sha256: 'two' }, ...times, precedence: 1, by: 'ann', ...more }
}

/** Kind and what matters most of it. */
export function brief(events: TwinEvent[]): string[] {
  return events.map((event) => {
    switch (event.kind) {
      case 'desired-changed':
        return `desired-changed ${event.version}: ${event.changes.map(({ path, after }) => `${path}=${JSON.stringify(after) ?? 'none'}`).join(' ')}`
      case 'reported-changed':
        return `reported-changed: ${event.changes.map(({ path, after }) => `${path}=${JSON.stringify(after) ?? 'none'}`).join(' ')}`
      case 'desired-acknowledged':
      case 'desired-converged':
        return [event.kind, event.version, ...event.paths].join(' ')
      case 'desired-diverged':
        return `desired-diverged ${event.path} ${event.reason}`
      case 'desired-conflict':
        return `desired-conflict ${event.path} ${event.winner} ${event.version}`
      case 'command-ended':
        return [event.kind, event.id, event.status, ...(event.code === undefined ? [] : [event.code])].join(' ')
      case 'command-late':
        return `command-late ${event.id} ${event.status}`
      case 'command-requested':
        return `command-requested ${event.command.id}`
      case 'command-released':
        return `command-released ${event.id}`
      case 'update-requested':
        return `update-requested ${event.update.id} until ${event.deadlineAt}`
      case 'update-released':
        return `update-released ${event.id} attempt ${event.attempt} until ${event.until}, due ${event.deadlineAt}`
      case 'update-postponed':
        return `update-postponed ${event.id} attempt ${event.attempt} until ${event.deadlineAt}: ${event.code}`
      case 'update-awaited':
        return `update-awaited ${event.id} until ${event.deadlineAt}`
      case 'update-soaking':
        return `update-soaking ${event.id} until ${event.deadlineAt}, at most ${event.giveUpAt}`
      case 'update-ended':
        return [event.kind, event.id, event.status, ...(event.code === undefined ? [] : [event.code])].join(' ')
      default:
        return event.kind
    }
  })
}
