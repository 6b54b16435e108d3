/** The actions of a rule, read from its stored body: what there is to do when an alarm of it is raised or cleared. */
import { z } from 'zod'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'

/** What an alarm did. */
export type Turn = (typeof TURNS)[number]
export const TURNS = ['raised', 'cleared'] as const
export const ACTION_KINDS = ['event', 'command', 'wish', 'ticket', 'predict'] as const
export type ActionKind = (typeof ACTION_KINDS)[number]

const on = z.enum(TURNS).default('raised')
const json = z.custom<Value>((value) => value !== undefined)
const object = z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value))
/** Absent: the alarm's own device. */
const device = z.string().optional()

/** They were checked when the rule was written: here they are only read. */
const ruleAction = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('event'), name: z.string(), data: json.optional(), on }),
  z.object({ kind: z.literal('command'), name: z.string(), input: json.optional(), device, on }),
  z.object({ kind: z.literal('wish'), desired: object, device, on }),
  z.object({ kind: z.literal('ticket'), title: z.string(), onCall: z.array(z.string()).default([]), predict: z.string().optional() }),
  z.object({ kind: z.literal('predict'), model: z.string() }),
])
export type RuleAction = z.infer<typeof ruleAction>

/** Undefined: it is none that this version knows. */
export function ruleActionOf(stored: unknown): RuleAction | undefined {
  return ruleAction.safeParse(stored).data
}

/** When its turn is. Those that have no choice come when an alarm is raised. */
export function turnOf(action: RuleAction): Turn {
  return 'on' in action ? action.on : 'raised'
}

/** Whether it changes something at a device, which may set off other rules. */
export function acts({ kind }: { kind: string }): boolean {
  return kind === 'command' || kind === 'wish'
}

/** What it is of: a command, an event, or a model that predicts. */
export function nameOf(action: RuleAction): string | null {
  if (action.kind === 'command' || action.kind === 'event') return action.name
  return action.kind === 'predict' ? action.model : null
}
