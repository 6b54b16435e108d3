/** Whom a rule tells: its actions of kind `notify`, read from its stored body. They were checked when the rule was written. */
import { z } from 'zod'
import type { NotifyAction } from '../../twin-models/core/notices.ts'
import { parseDuration } from '../../twin-models/durations.ts'

/** More than any rule may have. */
const MOST_ACTIONS = 50

const notify = z.object({ kind: z.literal('notify'), target: z.string().min(1).max(128), after: z.string().optional() })
const rule = z.object({ actions: z.array(z.unknown()).default([]) })

/** Those of other kinds are left out. */
export function notifyActionsOf(body: string): NotifyAction[] {
  const actions = rule.safeParse(JSON.parse(body)).data?.actions ?? []
  const told = actions.flatMap((action) => notify.safeParse(action).data ?? [])
  return told.slice(0, MOST_ACTIONS).map(({ target, after = '' }) => ({ target, afterMs: parseDuration(after) ?? 0 }))
}
