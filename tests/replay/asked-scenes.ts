/** Twins that are asked for something: wishes and commands, and all the ways in which they end. */
import { randomUUID } from 'node:crypto'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { CommandRequest, JsonObject, TwinInput, WishRequest } from '../../twin-models/core/types.ts'
import { twinWorkflowId } from '../../twin-models/ids.ts'
import { REMOVED_SIGNAL } from '../../workflows/messages.ts'
import { decisionOf } from '../conformance/decision-store.ts'
import { until } from '../support/wait.ts'
import type { Scenes, Stage } from './recordings.ts'
import { configured, decided, reading } from './twin-scenes.ts'

const SOON_MS = 1_500
const LATER_MS = 3_600_000

type Reported = Extract<TwinInput, { kind: 'reported' }>

function wish(patch: JsonObject, more: Partial<WishRequest> = {}): TwinInput {
  return { kind: 'wish', at: Date.now(), request: randomUUID(), by: 'ann', patch, ...more }
}

function report(state: JsonObject, more: Partial<Reported> = {}): TwinInput {
  return { kind: 'reported', at: Date.now(), ts: Date.now(), state, ...more }
}

function command(id: string, more: Partial<CommandRequest> = {}): TwinInput {
  const request: CommandRequest = { id, name: 'identify', expiresAt: Date.now() + LATER_MS, repeatable: true, by: 'ann', ...more }
  return { kind: 'command', at: Date.now(), request: randomUUID(), command: request }
}

/** A registered twin, and what it is given: a seal each. */
export async function twinOn({ twins }: Stage, first: TwinInput[] = configured(Date.now())) {
  const key = await twins.register()
  const handle = await twins.signal(key, 1, first)
  await decided(twins, key, 1)
  let seq = 1
  const give = async (...inputs: TwinInput[]) => {
    await twins.signal(key, ++seq, inputs)
    await decided(twins, key, seq)
  }
  const decides = (revision: number, what: string) => until(async () => (await twins.row(key)).revision === revision, what)
  const end = async () => {
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  }
  return { key, handle, give, decides, end }
}

export const askedScenes: Scenes = {
  'wishes to their ends': async (stage) => {
    const { give, decides, end } = await twinOn(stage)
    await give(wish({ x: 1, y: 2 }))
    await give(report({ x: 0 }, { version: 1 }))
    await give(report({ x: 1 }, { version: 1, rejected: { '/y': { code: 'no' } } }))
    await give(wish({ z: 3 }, { deadlineMs: SOON_MS }), wish({ x: 4 }, { ifVersion: 1 }))
    await decides(6, 'the deadline has passed')
    return end()
  },
  'wishes in conflict': async (stage) => {
    const wishes = { d: { wins: 'device' }, w: { wins: 'desired', deadlineMs: LATER_MS } } as const
    const { give, end } = await twinOn(stage, configured(Date.now(), { wishes }))
    await give(wish({ d: 1, w: 1 }))
    await give(report({ d: 1, w: 1 }, { version: 1 }))
    await give(report({ d: 2, w: 2 }))
    await give(wish({ w: 3 }, { by: 'bob' }))
    return end()
  },
  'commands to their ends': async (stage) => {
    const { key, give, decides, end } = await twinOn(stage)
    const [good, bad, dropped, late, once] = [randomUUID(), randomUUID(), randomUUID(), randomUUID(), randomUUID()]
    // The bridge has sent the one that may be sent only once.
    await stage.sql`
      insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at, sent_at)
      values (${once}, ${key.tenant}, ${key.incarnation}, ${key.device}, 'unlock', 'ann', false, 1000, 1, now() + interval '1 hour', now())`
    await give(command(good), command(bad), command(dropped))
    await give({ kind: 'command-answer', at: Date.now(), id: good, status: 'succeeded', output: { locked: true } })
    await give(
      { kind: 'command-answer', at: Date.now(), id: bad, status: 'failed', code: 'jammed' },
      { kind: 'cancel', at: Date.now(), request: randomUUID(), id: dropped, by: 'ann' },
      { kind: 'command-answer', at: Date.now(), id: dropped, status: 'succeeded' },
    )
    const expiresAt = Date.now() + SOON_MS
    await give(command(late, { expiresAt }), command(once, { name: 'unlock', repeatable: false, concurrency: 1, expiresAt }))
    await decides(6, 'both have expired')
    return end()
  },
  'continued as new while asked': async (stage) => {
    const { handle, give } = await twinOn(stage)
    const { runId } = await handle.describe()
    await give(wish({ x: 1 }, { deadlineMs: LATER_MS }), command(randomUUID()))
    const run = async () => (await stage.twins.client.workflow.getHandle(handle.workflowId).describe()).runId
    for (let n = 0; (await run()) === runId; n++) await give(reading(n % 2 ? 20 : 50))
    return { workflowId: handle.workflowId, runId }
  },
  'the run after it answers': async ({ twins }) => {
    const key = await twins.register()
    const id = randomUUID()
    const inputs = [
      ...configured(Date.now()),
      wish({ x: 1 }, { deadlineMs: LATER_MS }),
      command(id, { expiresAt: Date.now() + LATER_MS / 2 }),
    ]
    await twins.store.write(decisionOf(key, initialState(), 1, inputs))
    const { state } = consume(initialState(), { seq: 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
    const handle = await twins.start({ ...key, carried: state }, twinWorkflowId(key))
    await twins.signal(key, 2, [{ kind: 'command-answer', at: Date.now(), id, status: 'succeeded' }])
    await decided(twins, key, 2)
    await twins.signal(key, 3, [report({ x: 1 }, { version: 1 })])
    await decided(twins, key, 3)
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  },
}
