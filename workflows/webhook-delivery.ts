/**
 * A webhook in trouble: works off what failed, by the schedule of each delivery, and probes while the endpoint does not answer. One an endpoint,
 * never one an event: what it works on stands in Postgres. It ends when nothing is left; the next failure starts another.
 */
import { condition, continueAsNew, defineSignal, proxyActivities, setCurrentDetails, setHandler, workflowInfo } from '@temporalio/workflow'
import type { WebhookActivities } from '../activities/webhook-activities.ts'
import { WEBHOOK_WORK } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import {
  WEBHOOK_LOOK_SIGNAL,
  type WebhookAsk,
  type WebhookEnd,
  type WebhookLook,
  type WebhookReport,
  type WebhookStart,
} from './messages.ts'
import { handleUpdates, type OperatorUpdates, showStatus } from './operators.ts'
import { webhookReport } from './webhook-report.ts'

/** A look is some ten events. */
const LONGEST_HISTORY = 400
/** Pieces of work follow each other at least so far apart. */
const PAUSE_MS = 250

type Wanted = NonNullable<WebhookAsk['wanted']>

const { workOffWebhook } = proxyActivities<WebhookActivities>(WEBHOOK_WORK)

export async function webhookDelivery(start: WebhookStart): Promise<WebhookEnd> {
  const asked: Wanted[] = []
  let look = true
  setHandlers(
    (wanted) => asked.push(wanted),
    () => {
      look = true
    },
  )
  const { tenant, id } = start ?? {}
  const alarm = new Alarm()
  let notBefore: number | undefined
  for (;;) {
    look = false
    const wanted = asked.shift()
    const report = await workOffWebhook({ tenant, id, ...(wanted && { wanted }), ...(notBefore && { notBefore }) })
    notBefore = report.notBefore
    setCurrentDetails(webhookReport(start, report))
    showStatus(tenant, statusOf(report))
    const isNews = () => look || asked.length > 0
    if (report.done && !isNews()) return { status: report.status }
    if (workflowInfo().historyLength >= LONGEST_HISTORY && asked.length === 0) await continueAsNew<typeof webhookDelivery>({ tenant, id })
    alarm.set(Math.max(report.nextAt ?? 0, Date.now() + PAUSE_MS))
    await condition(() => isNews() || alarm.rang)
    alarm.quieten()
  }
}

const UPDATES: OperatorUpdates<Wanted> = {
  retryNow: { description: 'Try now what failed, whatever its schedule.', answer: 'What failed is tried now.' },
  skip: {
    description: 'Skip what failed until now: those deliveries are not tried again by themselves.',
    answer: 'What failed is skipped. It can be sent again over REST.',
  },
  stop: {
    description: 'Disable the webhook: nothing is sent to it until it is resumed over REST.',
    answer: 'The webhook is disabled. It goes on when it is resumed over REST.',
  },
}

function setHandlers(ask: (wanted: Wanted) => void, look: () => void): void {
  handleUpdates(UPDATES, ask)
  setHandler(defineSignal<[WebhookLook]>(WEBHOOK_LOOK_SIGNAL), look, { description: 'Something is due now: look.' })
}

function statusOf({ status, probeAt }: WebhookReport): string {
  if (status !== 'active') return status
  return probeAt ? 'failing' : 'retrying'
}
