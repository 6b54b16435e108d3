/** What an operator reads of a webhook in trouble in the Temporal UI, as Markdown. */
import { code, counts, time } from '../twin-models/core/markdown.ts'
import type { WebhookReport, WebhookStart } from './messages.ts'

export function webhookReport({ tenant, id }: WebhookStart, report: WebhookReport): string {
  const { url, done, retrying = 0, behind = 0, failed = 0, reasons = [] } = report
  const parts = [
    `### Webhook ${title(report)}`,
    `${url === undefined ? '' : `${code(url)}. `}Tenant ${code(tenant)}, id ${code(id)}.`,
    ...(report.reason ? [`**${report.reason}**`] : []),
    counts('Deliveries', [
      ['failed, and tried again', retrying],
      ['waiting behind one of their device', behind],
      ['failed for good', failed],
    ]),
    ...healthOf(report),
    ...(report.last ? [`Last attempt ${time(report.last.at)}, ${report.last.ms} ms: ${lastOf(report.last)}`] : []),
    ...(reasons.length > 0
      ? [`**Why**\n\n${reasons.map(({ reason, count }) => `- ${count} × ${code(reason.slice(0, 200))}`).join('\n')}`]
      : []),
    ...(report.nextAt === undefined ? [] : [`Next attempt ${time(report.nextAt)}.`]),
    ...(done ? [] : ['Updates: `retryNow`, `skip`, `stop`.']),
  ]
  return parts.join('\n\n')
}

function title({ status, done, probeAt }: WebhookReport): string {
  if (status !== 'active') return status
  if (done) return 'well again: nothing is left to be tried'
  return probeAt ? 'does not answer: only probes go out' : 'retrying'
}

function healthOf({ failures = 0, failingSince }: WebhookReport): string[] {
  if (failures === 0 || !failingSince) return []
  return [`${failures} attempts failed in a row, since ${time(failingSince)}. After five days of failures only it is disabled.`]
}

function lastOf({ status, answer, error }: NonNullable<WebhookReport['last']>): string {
  if (error !== undefined) return code(error)
  return `status ${status}${answer ? `, ${code(answer.slice(0, 300))}` : ''}`
}
