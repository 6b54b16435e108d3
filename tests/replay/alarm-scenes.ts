/** Twins that have rules: alarms from their first reading to their end, and devices that are repaired meanwhile. */
import { randomUUID } from 'node:crypto'
import type { AlarmAsk, TwinInput } from '../../twin-models/core/types.ts'
import { hotRule, rulesFor } from '../support/alarms.ts'
import { twinOn } from './asked-scenes.ts'
import type { Scenes } from './recordings.ts'
import { reading } from './twin-scenes.ts'
import { updatable } from './update-scenes.ts'

const SOON_MS = 1_500
const HOUR_MS = 3_600_000

function ask(asked: AlarmAsk): TwinInput {
  return { ...asked, kind: 'alarm', at: Date.now(), request: randomUUID() }
}

function maintain(until: number | null): TwinInput {
  return { kind: 'maintenance', at: Date.now(), request: randomUUID(), until, by: 'ann', reason: 'A new bearing' }
}

export const alarmScenes: Scenes = {
  'alarms to their ends': async (stage) => {
    const { give, end } = await twinOn(stage)
    const of = { rule: 'hot', by: 'ann' }
    await give(rulesFor(hotRule()))
    await give(reading(50))
    await give(ask({ ...of, action: 'acknowledge', note: 'On my way' }), ask({ ...of, action: 'assign', assignee: 'bob' }))
    await give(ask({ ...of, action: 'shelve', until: Date.now() + HOUR_MS }))
    await give(reading(70), ask({ ...of, action: 'comment', note: 'It smells' }))
    await give(ask({ ...of, action: 'unshelve' }), reading(20))
    await give(maintain(Date.now() + HOUR_MS), reading(50))
    await give(maintain(null), ask({ ...of, n: 1, action: 'clear' }), ask({ ...of, action: 'clear', note: 'known' }))
    await give({ kind: 'rules', at: Date.now(), set: [], removed: ['hot'] })
    return end()
  },
  'an update waits for a maintenance': async (stage) => {
    const { give, update, decides, end } = await updatable(stage)
    const until = Date.now() + SOON_MS
    await give(maintain(until))
    await update()
    await decides(5, 'it is let go')
    await give({ kind: 'tick', at: until })
    return end()
  },
  'continued as new with an alarm': async (stage) => {
    const { handle, give } = await twinOn(stage)
    const { runId } = await handle.describe()
    await give(rulesFor(hotRule()), reading(50), maintain(Date.now() + HOUR_MS))
    const run = async () => (await stage.twins.client.workflow.getHandle(handle.workflowId).describe()).runId
    for (let n = 0; (await run()) === runId; n++) await give(reading(n % 2 ? 50 : 70))
    return { workflowId: handle.workflowId, runId }
  },
}
