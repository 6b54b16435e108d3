/** Rollouts as operators and REST steer them. Their twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { ROLLOUT_ASKED_SIGNAL, type RolloutAsked } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import { begun } from '../workflows/rollouts.ts'
import type { Scenes, Stage } from './recordings.ts'

const rolloutOn = ({ sql, rollouts }: Stage, devices: number, spec: object) => begun(sql, rollouts, devices, spec)

/** A rollout that has so much happen to it that its run continues as new. */
async function continued(stage: Stage) {
  const rollout = await rolloutOn(stage, 4, { gate: 1, waves: [{ count: 2 }, { percent: 100 }] })
  const { handle, opens, steer } = rollout
  const { runId } = await handle.describe()
  await opens(2)
  let perSecond = 100
  await until(async () => {
    await steer('pace', { perSecond: ++perSecond })
    return (await stage.rollouts.client.workflow.getHandle(handle.workflowId).describe()).runId !== runId
  }, 'another run')
  return { ...rollout, runId }
}

export const rolloutScenes: Scenes = {
  'a rollout is approved and completes': async (stage) => {
    const spec = { approval: 'one', lateJoiners: 'join', waves: [{ count: 1 }, { percent: 100 }] }
    const { handle, opens, twins, steer, becomes } = await rolloutOn(stage, 3, spec)
    await becomes('draft')
    await steer('approve', { by: 'ann' })
    await opens(1)
    await twins.end('healthy')
    await opens(2)
    await twins.end('healthy')
    await handle.result()
    return handle
  },
  'a halted rollout is resumed and rolled back': async (stage) => {
    const limits = { gate: 0.5, failures: { share: 0.3, minimum: 2 }, onHalt: 'cancel' }
    const { handle, opens, twins, steer, becomes } = await rolloutOn(stage, 6, { ...limits, waves: [{ count: 4 }, { percent: 100 }] })
    const updates = await opens(4)
    await twins.tell()
    await twins.endOne(updates[0]!, 'healthy')
    await twins.endOne(updates[1]!, 'failed', 'unhealthy')
    await becomes('halted')
    await twins.obeyCancels()
    await steer('resume')
    await opens(2)
    await twins.end('healthy', { most: 1 })
    await steer('rollback')
    await twins.obeyCancels()
    for (let n = 0; n < 2; n++) {
      await opens(1)
      await twins.end('healthy')
    }
    await handle.result()
    return handle
  },
  'a rollout is paused and cancelled': async (stage) => {
    const { handle, opens, twins, steer, becomes } = await rolloutOn(stage, 4, { gate: 1, waves: [{ count: 2 }, { percent: 100 }] })
    const [first] = await opens(2)
    await steer('exclude', { device: first!.device })
    await twins.obeyCancels()
    await steer('resume').catch(() => {})
    await steer('pause')
    await becomes('paused')
    const asked: RolloutAsked = { asks: [{ id: randomUUID(), by: 'ann', ask: { action: 'cancel', running: 'cancel' } }] }
    await handle.signal(ROLLOUT_ASKED_SIGNAL, asked)
    await becomes('cancelled')
    await twins.obeyCancels()
    await handle.result()
    return handle
  },
  'a rollout continues as new': async (stage) => {
    const { handle, runId } = await continued(stage)
    return { workflowId: handle.workflowId, runId }
  },
  'a rollout goes on after it': async (stage) => {
    const { handle, opens, twins } = await continued(stage)
    await twins.end('healthy')
    await opens(2)
    await twins.end('healthy')
    const next = stage.rollouts.client.workflow.getHandle(handle.workflowId)
    await next.result()
    return next
  },
}
