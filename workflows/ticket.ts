/**
 * A maintenance ticket: one repair, from the alarm that asked for it until it is verified, through whatever restarts. What it does is decided by the pure
 * core (twin-models/core/ticket.ts); what it waits for is one timer, with an absolute time. It learns of alarms by looking at Postgres, each time that it
 * wakes, and is woken when there is something to see. An operator may start one in the Temporal UI with one JSON object, under any id, and steers it
 * there by Updates; what is asked elsewhere comes as the signal `asked`.
 */
import { condition, continueAsNew, proxyActivities, workflowInfo } from '@temporalio/workflow'
import type { TicketActivities } from '../activities/ticket-activities.ts'
import { initialTicket } from '../twin-models/core/ticket.ts'
import { TICKET_BEGIN } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import { TICKET_WORKFLOW, type TicketCarried, type TicketEnd, type TicketStart } from './messages.ts'
import { answerAll, isQuiet, mustBeTakeable } from './operators.ts'
import { type AskedOfTicket, handleTicketAsked } from './ticket-handlers.ts'
import { TicketRun } from './ticket-run.ts'

/** The usual course is shorter: only what is reopened, or talked about a lot, continues as new. */
const LONGEST_HISTORY = 200

const { beginTicket } = proxyActivities<TicketActivities>(TICKET_BEGIN)

export async function maintenanceTicket(start: TicketStart): Promise<TicketEnd> {
  const queue: AskedOfTicket[] = []
  let run: TicketRun | undefined
  let isNews = false
  handleTicketAsked(
    queue,
    (ask) => run?.wouldRefuse(ask, { via: 'ui' }),
    () => {
      isNews = true
    },
  )
  run = new TicketRun(start?.carried ?? (await begin(start)))
  const alarm = new Alarm()
  for (let mustLook = true; ; ) {
    if (mustLook || isNews) {
      isNews = false
      await run.look()
    }
    await answerAll(queue, (asked) => run.obey(asked))
    const step = run.next()
    if (step.kind === 'change') {
      await run.take(step.change)
      run.report()
      mustLook = false
      continue
    }
    run.report()
    if (step.kind === 'over') {
      if (await isQuiet(queue)) return endOf(run)
      mustLook = false
      continue
    }
    if (workflowInfo().historyLength >= LONGEST_HISTORY && (await isQuiet(queue)))
      await continueAsNew<typeof maintenanceTicket>({ tenant: run.carried.tenant, carried: run.carried })
    alarm.set(step.until)
    await condition(() => queue.length > 0 || isNews || alarm.rang)
    mustLook = alarm.rang
    alarm.quieten()
  }
}

async function begin(start: TicketStart): Promise<TicketCarried> {
  mustBeTakeable(start, TICKET_WORKFLOW)
  const { carried: _, ...request } = start ?? {}
  const { workflowId: workflow, firstExecutionRunId } = workflowInfo()
  // Also after a reset to its beginning it is this one, and not another.
  const { carried, ...begun } = await beginTicket({ ...request, id: request.id ?? firstExecutionRunId, workflow })
  return { ...begun, ...(carried ?? { n: 0, state: initialTicket(begun.plan), heard: [] }) }
}

function endOf({ carried }: TicketRun): TicketEnd {
  const { id, state } = carried
  return { id, status: state.status, ...(state.reason !== undefined && { reason: state.reason }) }
}
