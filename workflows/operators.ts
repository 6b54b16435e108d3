/** What operators do and see of long work in the Temporal UI: Updates without an argument, and its status in the list. */
import { defineUpdate, setHandler, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow'
import { SEARCH_ATTRIBUTES } from './search-attributes.ts'

/** `description` stands in the menu, `answer` is what the operator reads then. */
export type OperatorUpdates<Wanted extends string> = { [wanted in Wanted]: { description: string; answer: string } }

export function handleUpdates<Wanted extends string>(updates: OperatorUpdates<Wanted>, ask: (wanted: Wanted) => void): void {
  for (const [wanted, { description, answer }] of Object.entries(updates) as Array<[Wanted, OperatorUpdates<Wanted>[Wanted]]>) {
    const handler = () => {
      ask(wanted)
      return answer
    }
    setHandler(defineUpdate<string>(wanted), handler, { description })
  }
}

/** Only when it is another: it costs an event. */
export function showStatus(tenant: string, status: string, rollout?: string): void {
  if (workflowInfo().typedSearchAttributes.get(SEARCH_ATTRIBUTES.status) === status) return
  upsertSearchAttributes([
    { key: SEARCH_ATTRIBUTES.tenant, value: tenant },
    { key: SEARCH_ATTRIBUTES.status, value: status },
    ...(rollout === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.rollout, value: rollout }]),
  ])
}
