/**
 * A webhook in trouble: works off what failed, by the schedule of each delivery, and probes while the endpoint does not answer. One an endpoint,
 * never one an event: what it works on stands in Postgres. It ends when nothing is left; the next failure starts another.
 */
import {
  condition,
  continueAsNew,
  defineSignal,
  defineUpdate,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import type { WebhookActivities } from '../activities/webhook-activities.ts'
import { WEBHOOK_WORK } from './activity-options.ts'
import { Alarm } from './alarm.ts'
import {
  WEBHOOK_LOOK_SIGNAL,
  WEBHOOK_UPDATES,
  type WebhookEnd,
  type WebhookLook,
  type WebhookReport,
  type WebhookStart,
} from './messages.ts'
import { SEARCH_ATTRIBUTES } from './search-attributes.ts'
import { webhookReport } from './webhook-report.ts'

/** A look is some ten events. */
const LONGEST_HISTORY = 400
/** Pieces of work follow each other at least so far apart. */
const PAUSE_MS = 250

type Wanted = keyof typeof WEBHOOK_UPDATES

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
    showStatus(tenant, report)
    const isNews = () => look || asked.length > 0
    if (report.done && !isNews()) return { status: report.status }
    if (workflowInfo().historyLength >= LONGEST_HISTORY && asked.length === 0) await continueAsNew<typeof webhookDelivery>({ tenant, id })
    alarm.set(Math.max(report.nextAt ?? 0, Date.now() + PAUSE_MS))
    await condition(() => isNews() || alarm.rang)
    alarm.quieten()
  }
}

function setHandlers(ask: (wanted: Wanted) => void, look: () => void): void {
  const answers = {
    retryNow: 'What failed is tried now.',
    skip: 'What failed is skipped. It can be sent again over REST.',
    stop: 'The webhook is disabled. It goes on when it is resumed over REST.',
  } as const
  const descriptions = {
    retryNow: 'Try now what failed, whatever its schedule.',
    skip: 'Skip what failed until now: those deliveries are not tried again by themselves.',
    stop: 'Disable the webhook: nothing is sent to it until it is resumed over REST.',
  } as const
  for (const wanted of ['retryNow', 'skip', 'stop'] as const) {
    const handler = () => {
      ask(wanted)
      return answers[wanted]
    }
    setHandler(defineUpdate<string>(WEBHOOK_UPDATES[wanted]), handler, { description: descriptions[wanted] })
  }
  setHandler(defineSignal<[WebhookLook]>(WEBHOOK_LOOK_SIGNAL), look, { description: 'Something is due now: look.' })
}

function showStatus(tenant: string, { status, probeAt }: WebhookReport): void {
  const value = status === 'active' ? (probeAt ? 'failing' : 'retrying') : status
  if (workflowInfo().typedSearchAttributes.get(SEARCH_ATTRIBUTES.status) === value) return
  upsertSearchAttributes([
    { key: SEARCH_ATTRIBUTES.tenant, value: tenant },
    { key: SEARCH_ATTRIBUTES.status, value },
  ])
}
