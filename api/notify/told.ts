/** What a bundle says, in whatever form: ids, links, counts. */
import { createHash } from 'node:crypto'
import { groupKeyOf } from '../../twin-models/core/bundles.ts'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import type { Bundle, NoticeTarget, ToldNotice } from './ports.ts'

/** Of a message: the same for each attempt. No dots: the signature is over `id.timestamp.body`. */
export function messageId(bundle: string): string {
  return `ntc_${bundle}`
}

/** Of what a notice is about: the same from the first word to the last. As long as Alertmanager’s. */
export function fingerprintOf(tenant: string, { key }: Pick<ToldNotice, 'key'>): string {
  return createHash('sha256').update(`${tenant}/${key}`).digest('hex').slice(0, 16)
}

/** `firing` where anything is. */
export function statusOf({ notices }: Bundle): ToldNotice['status'] {
  return notices.some(({ status }) => status === 'firing') ? 'firing' : 'resolved'
}

/** What its notices have in common because they are one group. */
export function groupLabels({ groupKey, notices }: Bundle): { [name: string]: string } {
  const { rule, site, key } = notices[0]!
  if (rule === null) return { key }
  for (const group of [{ rule, ...(site !== null && { site }) }, { rule }])
    if (groupKey === groupKeyOf(group)) return { alertname: rule, ...('site' in group && { site: group.site }) }
  return {}
}

/** The alarm, or the twin of its device. Undefined: it is about neither. */
export function linkOf({ alarm, device }: ToldNotice, publicUrl: string): string | undefined {
  if (alarm !== null) return `${publicUrl}/v1/alarms/${alarm}`
  return device === '' ? undefined : `${publicUrl}/v1/twins/${encodeURIComponent(device)}`
}

/** An example, for a target that is to be tried. */
export function exampleBundle({ tenant }: Pick<NoticeTarget, 'tenant'>, id: string, at: number): Bundle {
  const notice: ToldNotice = {
    ...{
      key: `test:${id}`,
      kind: 'alarm',
      status: 'firing',
      severity: 'warning' satisfies Severity,
      device: 'example',
      rule: 'test',
      site: null,
    },
    ...{
      alarm: null,
      subject: 'test on example',
      text: 'This is a test: nothing is wrong.',
      facts: { tenant },
      links: [],
      since: at,
      overAt: null,
    },
    thread: id,
  }
  return { id, groupKey: groupKeyOf({ rule: 'test' }), madeAt: at, dueAt: at, notices: [notice], truncated: 0 }
}
