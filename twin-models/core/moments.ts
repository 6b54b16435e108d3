/**
 * The inputs of a batch by what is judged together: all that one message says of one time (rules.ts). Its readings come before its sign of life: a
 * device that comes back is not judged by what it said before it went. What is no message, a request, other rules or time, is a moment of its own.
 */
import { byMessage } from './causes.ts'
import type { Moment } from './rules.ts'
import type { Cause, TwinInput } from './types.ts'

export interface MomentInputs extends Moment {
  inputs: TwinInput[]
}

export function momentsOf(inputs: TwinInput[]): MomentInputs[] {
  const moments: MomentInputs[] = []
  let last: (MomentInputs & { names: Set<string> }) | undefined
  for (const input of readingsFirst(inputs)) {
    const { at } = input
    const ts = input.kind === 'reading' ? input.ts : at
    if (!last || last.at !== at || last.ts !== ts || !isOfMessage(input) || !isOfMessage(last.inputs[0]!)) {
      last = { at, ts, names: new Set(), isMore: false, isAhead: isAhead(input), cause: causeOf(input), inputs: [] }
      moments.push(last)
    }
    last.inputs.push(input)
    if (input.kind === 'reading') last.names.add(input.name)
    else last.isMore = true
  }
  return moments
}

/**
 * Within what was received at one time and came in one go: another bridge may tell of that time once more, after what is of another. What time made
 * of functions at that very moment comes after what was received at it, whether it is told with it or later.
 */
function readingsFirst(inputs: TwinInput[]): TwinInput[] {
  if (!inputs.some(isReading)) return inputs
  const ordered: TwinInput[] = []
  for (let from = 0, to = 0; from < inputs.length; from = to) {
    do to++
    while (inputs[to]?.at === inputs[from]!.at && !isTimed(inputs[to]!))
    const run = inputs.slice(from, to)
    const followed = run.splice(0, run.findLastIndex(isReading) + 1)
    ordered.push(...followed.filter((input) => !isSign(input)), ...followed.filter(isSign), ...run)
  }
  return ordered
}

function isSign({ kind }: TwinInput): boolean {
  return kind === 'life' || kind === 'hello'
}

function isReading({ kind }: TwinInput): boolean {
  return kind === 'reading'
}

function isTimed(input: TwinInput): boolean {
  return 'timed' in input
}

const OF_MESSAGES: ReadonlySet<string> = new Set<TwinInput['kind']>([
  'life',
  'hello',
  'event',
  'reading',
  'reported',
  'command-answer',
  'update-answer',
  'update-step',
])

function isOfMessage(input: TwinInput): boolean {
  return OF_MESSAGES.has(input.kind) && !isTimed(input)
}

/** Of the time that the clock says, which messages that are not read yet may be older than. */
function isAhead(input: TwinInput): boolean {
  return 'request' in input || input.kind === 'configured' || input.kind === 'due' || input.kind === 'backstop'
}

function causeOf(input: TwinInput): Cause {
  if (isOfMessage(input)) return byMessage('messageId' in input ? input.messageId : undefined)
  if (input.kind === 'due' || input.kind === 'backstop' || input.kind === 'reading') return { by: 'timer' }
  return 'request' in input ? { by: 'request', request: input.request } : { by: 'lane' }
}
