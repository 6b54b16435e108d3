/** What an operator reads of a bulk change in the Temporal UI, as Markdown. */
import type { BulkLook } from '../activities/ports.ts'
import { code, counts } from '../twin-models/core/markdown.ts'
import type { BulkCarried } from './messages.ts'

type Shown = Pick<BulkCarried, 'id' | 'tenant' | 'title' | 'pace' | 'reason'> & { status: string }

export function bulkReport({ id, tenant, title, pace, status, reason }: Shown, { progress, reasons }: BulkLook): string {
  const { total, waiting, underway, succeeded, failed, skipped } = progress
  const done = total === 0 ? 100 : Math.floor(((succeeded + failed + skipped) / total) * 100)
  const parts = [
    `### Bulk change ${status}: ${done} % of ${total} devices have ended`,
    `${title} Tenant ${code(tenant)}, id ${code(id)}.`,
    ...(reason ? [`**${reason}.** Look at those that failed; then resume it, or cancel it.`] : []),
    counts('Devices', [
      ['not asked yet', waiting],
      ['under way', underway],
      ['succeeded', succeeded],
      ['failed', failed],
      ['skipped', skipped],
    ]),
    `At most ${pace.perSecond} devices a second, ${pace.atOnce} at once. It halts when more than ${Math.round(pace.errorLimit.share * 100)} % of at least ${pace.errorLimit.minimum} fail.`,
    ...(reasons.length > 0 ? [`**Why devices failed or were skipped**\n\n${reasons.map(lineOf).join('\n')}`] : []),
    ...(status === 'running' || status === 'paused' || status === 'halted' ? ['Updates: `pause`, `resume`, `cancel`.'] : []),
  ]
  return parts.join('\n\n')
}

function lineOf({ status, reason, count, devices }: BulkLook['reasons'][number]): string {
  const more = count > devices.length ? ', …' : ''
  return `- ${count} ${status}: ${code(reason.slice(0, 200))} (${devices.map(code).join(', ')}${more})`
}
