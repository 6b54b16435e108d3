/** A bundle as an e-mail: plain text, with an id of its own and the ids of those by which its alarms were told of first, so that they stay together. */
import { isoTime } from '../../twin-models/core/times.ts'
import type { EmailTargetSettings } from '../../twin-models/schemas/target.ts'
import type { Bundle, Mail, NoticeTarget, ToldNotice } from './ports.ts'
import { groupLabels, linkOf, messageId, statusOf } from './told.ts'

/** A header of very many would be refused. */
const MOST_REFERENCES = 20
const LONGEST_SUBJECT = 250

export function mailOf(
  { name }: NoticeTarget,
  { to, cc = [], subjectPrefix = '' }: EmailTargetSettings,
  bundle: Bundle,
  publicUrl: string,
): Mail {
  const threads = [...new Set(bundle.notices.map(({ thread }) => thread))].filter((thread) => thread !== bundle.id)
  return {
    ...{ to, cc, id: messageId(bundle.id), references: threads.slice(0, MOST_REFERENCES).map(messageId) },
    subject: `${subjectPrefix === '' ? '' : `${subjectPrefix} `}${subjectOf(bundle)}`.slice(0, LONGEST_SUBJECT).toWellFormed(),
    text: textOf(name, bundle, publicUrl),
  }
}

function subjectOf(bundle: Bundle): string {
  const { notices, truncated } = bundle
  const [first] = notices as [ToldNotice]
  const isOver = statusOf(bundle) === 'resolved'
  const mark = isOver ? 'Resolved:' : `[${first.severity.toUpperCase()}]`
  if (notices.length + truncated === 1) return `${mark} ${first.subject}`
  const { alertname, site } = groupLabels(bundle)
  return `${mark} ${alertname ?? 'several rules'}${site === undefined ? '' : ` at ${site}`}: ${notices.length + truncated} alarms`
}

function textOf(target: string, { notices, truncated }: Bundle, publicUrl: string): string {
  const [going, over] = [notices.filter(({ status }) => status === 'firing'), notices.filter(({ status }) => status === 'resolved')]
  const part = (title: string, list: ToldNotice[]) =>
    list.length === 0
      ? []
      : [...(notices.length > 1 ? [`${title}: ${list.length}`, ''] : []), ...list.map((notice) => entryOf(notice, publicUrl))]
  return [
    ...part('Firing', going),
    ...part('Resolved', over),
    ...(truncated > 0 ? [`And ${truncated} more, not shown here.`, ''] : []),
    '-- ',
    `Castor, ${publicUrl}, for the target "${target}".`,
    '',
  ].join('\n')
}

function entryOf(notice: ToldNotice, publicUrl: string): string {
  const { status, subject, text, severity, device, facts, links, since, overAt } = notice
  const rows: Array<[name: string, value: string]> = [
    ['severity', severity],
    ...(device === '' ? [] : ([['device', device]] as Array<[string, string]>)),
    ['since', isoTime(since)],
    ...(overAt === null ? [] : ([['until', isoTime(overAt)]] as Array<[string, string]>)),
    ...Object.entries(facts),
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const link = linkOf(notice, publicUrl)
  return [
    status === 'resolved' ? `Resolved: ${subject}` : subject,
    ...(text === '' ? [] : [text]),
    '',
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    ...links.map(({ title, url }) => `  ${title}: ${url}`),
    ...(link === undefined ? [] : [`  ${link}`]),
    '',
  ].join('\n')
}
