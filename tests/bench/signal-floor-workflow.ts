/** The least that a twin can be: a signal, one local activity, and so on. */
import { condition, continueAsNew, defineSignal, proxyLocalActivities, setHandler, workflowInfo } from '@temporalio/workflow'

const LONGEST_HISTORY = 100
const { decide } = proxyLocalActivities<{ decide(n: number): Promise<void> }>({ startToCloseTimeout: '10 seconds' })
export const signalled = defineSignal<[number]>('signalled')

export async function least(): Promise<void> {
  const queue: number[] = []
  setHandler(signalled, (n) => void queue.push(n))
  for (;;) {
    await condition(() => queue.length > 0)
    await decide(queue.shift()!)
    if (workflowInfo().historyLength > LONGEST_HISTORY && queue.length === 0) await continueAsNew<typeof least>()
  }
}
