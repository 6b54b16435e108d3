/** Commands: which of them may be sent, and how each ends. It ends exactly once, and the first end counts. */
import { BY_TIMER, byMessage, byRequest } from './causes.ts'
import { words } from './plain.ts'
import type { Cause, CommandRequest, OpenCommand, TwinEvent, TwinInput, TwinState } from './types.ts'

type Input<Kind extends TwinInput['kind']> = Extract<TwinInput, { kind: Kind }>
export type CommandEvent = Extract<TwinEvent, { kind: `command-${string}` }>
type Ended = Extract<TwinEvent, { kind: 'command-ended' }>

export const OPEN_COMMANDS = 100
const ENDED_COMMANDS = 20
const CODE_LENGTH = 100
const MESSAGE_LENGTH = 500

export interface CommandRefusal {
  refused: 'too-many-commands'
  detail: string
}

/** Why a command is not even tried. */
export function commandRefusal(state: TwinState, { at, command }: Input<'command'>): CommandRefusal | undefined {
  if (isKnown(state, command.id) || command.expiresAt <= at) return undefined
  if (state.commands.length - supersededBy(state, command).length < OPEN_COMMANDS) return undefined
  return { refused: 'too-many-commands', detail: tooManyCommands() }
}

/** `device`: its id. */
export function tooManyCommands(device?: string): string {
  return `The device ${device === undefined ? '' : `${device} `}has ${OPEN_COMMANDS} commands that have not ended.`
}

export function decideCommand(state: TwinState, input: Input<'command'>): TwinEvent[] {
  const { at, command, request } = input
  if (isKnown(state, command.id)) return []
  const cause = byRequest(request, command.by)
  const requested: TwinEvent = { kind: 'command-requested', at, command, cause }
  if (command.expiresAt <= at) return [requested, ended(command, at, cause, { status: 'expired' })]
  const refusal = commandRefusal(state, input)
  if (refusal) return [requested, ended(command, at, cause, { status: 'failed', code: refusal.refused, message: refusal.detail })]
  const ends = supersededBy(state, command).map((old) =>
    ended(old, at, cause, { status: 'cancelled', code: 'superseded', message: `Command ${command.id} took its place.` }),
  )
  return withReleases(state, [requested, ...ends], at, cause)
}

export function decideCancel(state: TwinState, { at, request, id, by }: Input<'cancel'>): TwinEvent[] {
  const command = openCommand(state, id)
  if (!command) return []
  const cause = byRequest(request, by)
  const end = { status: 'cancelled', code: 'cancelled', message: `Cancelled by ${by}.` } as const
  return withReleases(state, [ended(command, at, cause, end)], at, cause)
}

/** An answer to a command that had ended is kept as late, unless it only repeats how it ended. */
export function decideAnswer(state: TwinState, { kind: _, at, id, messageId, ...answer }: Input<'command-answer'>): TwinEvent[] {
  const cause = byMessage(messageId)
  const said =
    answer.status === 'succeeded'
      ? answer
      : {
          ...answer,
          code: words(answer.code, CODE_LENGTH),
          ...(answer.message !== undefined && { message: words(answer.message, MESSAGE_LENGTH) }),
        }
  const command = openCommand(state, id)
  if (command) return withReleases(state, [ended(command, at, cause, said)], at, cause)
  if (state.endedCommands.some((known) => known.id === id && known.status === answer.status)) return []
  return [{ kind: 'command-late', at, id, ...said, cause }]
}

/** What may not be repeated and was sent may have been done: nobody knows. All else has expired. */
export function decideDue(state: TwinState, { sent }: Input<'due'>, now: number): TwinEvent[] {
  const ends = state.commands
    .filter(({ expiresAt }) => expiresAt <= now)
    .map((command) =>
      ended(
        command,
        now,
        BY_TIMER,
        !command.repeatable && sent.includes(command.id)
          ? { status: 'failed', code: 'unknown', message: 'It was sent once, and no answer came in time.' }
          : { status: 'expired' },
      ),
    )
  return withReleases(state, ends, now, BY_TIMER)
}

export function evolveCommands(state: TwinState, event: CommandEvent): TwinState {
  switch (event.kind) {
    case 'command-requested':
      return { ...state, commands: [...state.commands, { ...event.command, released: false }] }
    case 'command-released':
      return { ...state, commands: state.commands.map((command) => (command.id === event.id ? { ...command, released: true } : command)) }
    case 'command-ended': {
      const { id, status } = event
      return {
        ...state,
        commands: state.commands.filter((command) => command.id !== id),
        endedCommands: [{ id, status }, ...state.endedCommands].slice(0, ENDED_COMMANDS),
      }
    }
    case 'command-late':
      return state
  }
}

/** In the order of their requests, as many of a name at once as its command allows. Nobody overtakes one of the same name that waits. */
function releasable(commands: OpenCommand[]): OpenCommand[] {
  const underWay = new Map<string, number>()
  for (const { name, released } of commands) if (released) underWay.set(name, (underWay.get(name) ?? 0) + 1)
  const waiting = new Set<string>()
  return commands.filter(({ name, released, concurrency = Infinity }) => {
    if (released || waiting.has(name)) return false
    const others = underWay.get(name) ?? 0
    if (others >= concurrency) waiting.add(name)
    else underWay.set(name, others + 1)
    return others < concurrency
  })
}

function withReleases(state: TwinState, events: CommandEvent[], at: number, cause: Cause): TwinEvent[] {
  const { commands } = events.reduce(evolveCommands, state)
  return [...events, ...releasable(commands).map(({ id, name }): TwinEvent => ({ kind: 'command-released', at, id, name, cause }))]
}

function ended({ id, name }: CommandRequest, at: number, cause: Cause, end: Pick<Ended, 'status' | 'output' | 'code' | 'message'>): Ended {
  return { kind: 'command-ended', at, id, name, ...end, cause }
}

export function openCommand(state: TwinState, id: string): OpenCommand | undefined {
  return state.commands.find((command) => command.id === id)
}

function supersededBy(state: TwinState, { name, onlyLast = false }: CommandRequest): OpenCommand[] {
  return onlyLast ? state.commands.filter((command) => command.name === name) : []
}

/** The same request again. */
function isKnown(state: TwinState, id: string): boolean {
  return openCommand(state, id) !== undefined || state.endedCommands.some((known) => known.id === id)
}
