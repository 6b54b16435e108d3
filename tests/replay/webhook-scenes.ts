/** Webhooks in trouble, as an operator helps them and as they help themselves. Each leaves a workflow behind. */
import { until } from '../support/wait.ts'
import { detailsOf } from '../workflows/webhook-worker.ts'
import type { Scenes } from './recordings.ts'

const HOUR = 3_600_000

export const webhookScenes: Scenes = {
  'a webhook recovers': async ({ webhooks }) => {
    const { id, positions } = await webhooks.troubled([0, 600, HOUR])
    let left = 3
    webhooks.answer = () => (left-- > 0 ? 500 : 204)
    const handle = await webhooks.look(id)
    await until(() => webhooks.attempts.includes(positions[1]!), 'two were tried, each in its time')
    await until(async () => (await detailsOf(handle)).includes('2 × `status 500`'), 'it waits for their next attempts')
    await webhooks.look(id)
    await handle.executeUpdate('retryNow')
    await handle.executeUpdate('retryNow')
    await handle.result()
    return handle
  },
  'a webhook is skipped and stopped': async ({ webhooks }) => {
    const { id } = await webhooks.troubled([HOUR])
    webhooks.answer = () => 503
    const handle = await webhooks.look(id)
    await handle.executeUpdate('retryNow')
    await until(async () => (await detailsOf(handle)).includes('only probes go out'), 'its breaker is open')
    await handle.executeUpdate('skip')
    await handle.executeUpdate('stop')
    await handle.result()
    return handle
  },
  'a webhook in trouble continues as new': async ({ webhooks }) => {
    const { id } = await webhooks.troubled([HOUR])
    const handle = await webhooks.look(id)
    const { runId } = await handle.describe()
    await until(async () => {
      await webhooks.look(id)
      return (await handle.describe()).runId !== runId
    }, 'another run')
    return { workflowId: handle.workflowId, runId }
  },
}
