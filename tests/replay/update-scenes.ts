/** Twins whose devices are updated: what the twin asks Postgres about, and what it waits for. */
import { randomUUID } from 'node:crypto'
import type { TwinInput, UpdateRequest } from '../../twin-models/core/types.ts'
import { updateRequest } from '../support/asked-twin.ts'
import { firmware, scheduledUpdate } from '../support/updates.ts'
import { twinOn } from './asked-scenes.ts'
import type { Scenes, Stage } from './recordings.ts'
import { reading } from './twin-scenes.ts'

const SOON_MS = 1_500
const LATER_MS = 3_600_000
const OLD = { version: '1.0.0', sha256: 'one' }

/** A twin of a device with version 1, and an update for it, whose row is there. */
export async function updatable(stage: Stage) {
  const on = await twinOn(stage)
  const of = await firmware(stage.sql)
  const { id } = await scheduledUpdate(stage.sql, on.key, of)
  await on.give(hello(OLD))
  const update = (more: Partial<UpdateRequest> = {}) => {
    const asked = { firmware: { version: of.version, sha256: of.sha256 }, offerUntil: Date.now() + LATER_MS, ...more }
    return on.give({ kind: 'update', at: Date.now(), request: randomUUID(), update: updateRequest(id, asked) })
  }
  return { ...on, id, of, update }
}

function hello(firmware: { version: string; sha256: string }): TwinInput {
  return { kind: 'hello', at: Date.now(), status: 'online', firmware: { ...firmware }, health: { ok: true } }
}

export const updateScenes: Scenes = {
  'an update soaks and is healthy': async (stage) => {
    const { of, update, give, decides, end } = await updatable(stage)
    await update({ installMs: SOON_MS, soakMs: SOON_MS })
    await decides(4, 'it was not told, and may still be')
    await give(hello({ version: of.version, sha256: of.sha256 }))
    await decides(6, 'it has stayed healthy')
    return end()
  },
  'an update is postponed and rolled back': async (stage) => {
    const { id, update, give, decides, end } = await updatable(stage)
    await update({ installMs: SOON_MS, retryMs: SOON_MS })
    await give({ kind: 'update-answer', at: Date.now(), id, status: 'failed', code: 'no-space' })
    await decides(5, 'it is let go again')
    await stage.sql`update updates set sent_at = now() - interval '1 second', sends = 1, status = 'rebooting' where id = ${id}`
    await decides(6, 'its device is back with what it had')
    return end()
  },
  'continued as new while updating': async (stage) => {
    const { handle, update, give } = await updatable(stage)
    const { runId } = await handle.describe()
    await update()
    const run = async () => (await stage.twins.client.workflow.getHandle(handle.workflowId).describe()).runId
    for (let n = 0; (await run()) === runId; n++) await give(reading(n % 2 ? 20 : 50))
    return { workflowId: handle.workflowId, runId }
  },
}
