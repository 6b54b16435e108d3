/** A twin that is asked things and whose device answers: each input a decision of its own, at its time. */
import { consume, consumeOwn, type Step } from '../../twin-models/core/consume.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type {
  CommandRequest,
  DeviceAnswer,
  JsonObject,
  TwinEvent,
  TwinInput,
  TwinSettings,
  TwinState,
  WishRequest,
} from '../../twin-models/core/types.ts'

type ReportedInput = Extract<TwinInput, { kind: 'reported' }>

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

  /** Its own timer rings. */
  due(at: number, sent: string[] = []): Step {
    this.now = at
    return this.#taken(consumeOwn(this.state, { kind: 'due', at, sent }, at))
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
      default:
        return event.kind
    }
  })
}
