/**
 * The body of a bundle for a webhook: as Alertmanager tells its receivers, version "4", so that whatever takes that takes this; or a plain JSON of
 * ours. All in it is the bundle's: it is the same for each attempt.
 */
import { isoTime } from '../../twin-models/core/times.ts'
import type { WebhookTargetSettings } from '../../twin-models/schemas/target.ts'
import type { Bundle, NoticeTarget, ToldNotice } from './ports.ts'
import { fingerprintOf, groupLabels, linkOf, messageId, statusOf } from './told.ts'

export function webhookBody(target: NoticeTarget, bundle: Bundle, form: WebhookTargetSettings['form'], publicUrl: string): string {
  return JSON.stringify((form === 'alertmanager' ? alertmanagerBody : castorBody)(target, bundle, publicUrl))
}

interface Alert {
  status: ToldNotice['status']
  labels: Texts
  annotations: Texts
  startsAt: string
  endsAt: string
  generatorURL: string
  fingerprint: string
}
type Texts = { [name: string]: string }

/** As Go writes a time that there is not. */
const NOT_YET = '0001-01-01T00:00:00Z'

function alertmanagerBody({ name, tenant }: NoticeTarget, bundle: Bundle, publicUrl: string): object {
  const alerts = bundle.notices.map(
    (notice): Alert => ({
      status: notice.status,
      labels: labelsOf(tenant, notice),
      annotations: annotationsOf(notice),
      startsAt: isoTime(notice.since),
      endsAt: notice.overAt === null ? NOT_YET : isoTime(notice.overAt),
      generatorURL: linkOf(notice, publicUrl) ?? publicUrl,
      fingerprint: fingerprintOf(tenant, notice),
    }),
  )
  return {
    version: '4',
    groupKey: bundle.groupKey,
    truncatedAlerts: bundle.truncated,
    status: statusOf(bundle),
    receiver: name,
    groupLabels: groupLabels(bundle),
    commonLabels: common(alerts.map(({ labels }) => labels)),
    commonAnnotations: common(alerts.map(({ annotations }) => annotations)),
    externalURL: publicUrl,
    alerts,
  }
}

function labelsOf(tenant: string, { rule, kind, severity, device, site, key }: ToldNotice): Texts {
  return {
    ...{ alertname: rule ?? kind, severity, tenant, key },
    ...(device !== '' && { device }),
    ...(site !== null && { site }),
  }
}

/** Names of facts and links become names of annotations; where two become one, the first stays. */
function annotationsOf({ subject, text, facts, links }: ToldNotice): Texts {
  const more = [...Object.entries(facts), ...links.map(({ title, url }) => [title.toLowerCase(), url] as const)]
  const named = more.map(([name, value]) => [name.replace(/\W/g, '_').replace(/^(\d)/, '_$1'), value] as const)
  return { ...Object.fromEntries(named.reverse()), summary: subject, description: text }
}

function common([first = {}, ...others]: Texts[]): Texts {
  return Object.fromEntries(Object.entries(first).filter(([name, value]) => others.every((texts) => texts[name] === value)))
}

function castorBody({ name, tenant }: NoticeTarget, bundle: Bundle, publicUrl: string): object {
  return {
    id: messageId(bundle.id),
    tenant,
    target: name,
    status: statusOf(bundle),
    group: { key: bundle.groupKey, labels: groupLabels(bundle) },
    notices: bundle.notices.map((notice) => {
      const { key, kind, status, severity, device, rule, site, alarm, subject, text, facts, links, since, overAt } = notice
      const link = linkOf(notice, publicUrl)
      return {
        ...{ key, fingerprint: fingerprintOf(tenant, notice), kind, status, severity, subject, text, facts },
        ...{
          ...(device !== '' && { device }),
          ...(rule !== null && { rule }),
          ...(site !== null && { site }),
          ...(alarm !== null && { alarm }),
        },
        ...{ since: isoTime(since), ...(overAt !== null && { overAt: isoTime(overAt) }) },
        ...{ ...(link !== undefined && { url: link }), links },
      }
    }),
    truncated: bundle.truncated,
  }
}
