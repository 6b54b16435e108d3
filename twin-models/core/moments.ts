/**
 * The inputs of a batch by what is judged together: all that one message says of one time (rules.ts). What it says of earlier times comes first; what
 * is no reading is of its receipt.
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
  for (const input of inTheirOrder(inputs)) {
    const { at } = input
    const ts = tsOf(input)
    if (!last || last.at !== at || last.ts !== ts) {
      last = { at, ts, names: new Set(), isMore: false, cause: causeOf(input), inputs: [] }
      moments.push(last)
    }
    // A tick of the same moment says less than the message that it came with.
    if (last.cause.by === 'lane') last.cause = causeOf(input)
    last.inputs.push(input)
    if (input.kind === 'reading') last.names.add(input.name)
    else last.isMore = true
  }
  return moments
}

/** Of one receipt, readings before what is no reading, where they are of earlier times. */
function inTheirOrder(inputs: TwinInput[]): TwinInput[] {
  if (inputs.every((input) => tsOf(input) === input.at)) return inputs
  const runs: TwinInput[][] = []
  for (const input of inputs) {
    const run = runs.at(-1)
    if (run?.[0]?.at === input.at) run.push(input)
    else runs.push([input])
  }
  return runs.flatMap((run) => [...run.filter(isReading), ...run.filter((input) => !isReading(input))])
}

function isReading({ kind }: TwinInput): boolean {
  return kind === 'reading'
}

function tsOf(input: TwinInput): number {
  return input.kind === 'reading' ? input.ts : input.at
}

function causeOf(input: TwinInput): Cause {
  switch (input.kind) {
    case 'life':
    case 'hello':
    case 'event':
    case 'reading':
    case 'reported':
    case 'command-answer':
    case 'update-answer':
      return byMessage(input.messageId)
    case 'due':
    case 'backstop':
      return { by: 'timer' }
    default:
      return 'request' in input ? { by: 'request', request: input.request } : { by: 'lane' }
  }
}
