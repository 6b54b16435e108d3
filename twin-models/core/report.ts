/** What a twin says of itself in the Temporal Web UI: Markdown that an operator understands without another page. */
import { iso } from './decided.ts'
import type { TwinState, Value } from './types.ts'

const SHOWN_VALUES = 30

export function reportOf(key: { tenant: string; device: string; incarnation: number }, state: TwinState): string {
  if (state.settings.model === '') return `Twin of device \`${key.device}\` of tenant \`${key.tenant}\`: nothing decided yet.`
  return [headline(key, state), values(state), ranges(state), events(state)].filter((part) => part !== '').join('\n\n')
}

function headline(key: { tenant: string; device: string; incarnation: number }, state: TwinState): string {
  const { settings, firmware, health, presence } = state
  const lines = [
    `### ${code(key.device)} · ${presence.status}`,
    `A **${settings.model}** (model version ${settings.modelVersion}) of tenant **${key.tenant}**, registration ${key.incarnation}.`,
    '',
    `- Presence: **${presence.status}**${presence.status === 'never' ? '' : ` since ${iso(presence.since)} (${presence.reason})`}`,
  ]
  if (presence.lastSeenAt > 0) lines.push(`- Last message decided on: ${iso(presence.lastSeenAt)}; the REST twin may know later ones`)
  if (firmware) lines.push(`- Firmware: ${code(firmware.version)}${firmware.sha256 ? `, SHA-256 ${code(firmware.sha256)}` : ''}`)
  if (health) lines.push(`- Health: ${healthWords(health)}`)
  lines.push(`- Revision ${state.revision}, newest seal ${state.seq}, ${state.messages} messages`)
  return lines.join('\n')
}

function healthWords({ ok, battery, rssi, errors }: NonNullable<TwinState['health']>): string {
  const more = [
    battery === undefined ? '' : `battery ${battery} %`,
    rssi === undefined ? '' : `signal ${rssi} dBm`,
    errors && errors.length > 0 ? `errors: ${errors.map(code).join(', ')}` : '',
  ]
  return [ok ? 'ok' : '**not ok**', ...more.filter((word) => word !== '')].join(', ')
}

function values(state: TwinState): string {
  const entries = Object.entries(state.values)
  if (entries.length === 0) return ''
  const rows = entries.slice(0, SHOWN_VALUES).map(([name, [value, ts]]) => `| ${name} | ${code(short(value))} | ${iso(ts)} |`)
  const rest = entries.length > SHOWN_VALUES ? [`\n${entries.length - SHOWN_VALUES} more are not shown.`] : []
  return ['| value | latest | at |', '| --- | --- | --- |', ...rows, ...rest].join('\n')
}

function ranges(state: TwinState): string {
  const rows = Object.entries(state.ranges).flatMap(([name, { status, since, newest }]) => {
    const { minimum, maximum } = state.settings.ranges[name] ?? {}
    return newest === 0
      ? []
      : [`| ${name} | ${status === 'normal' ? status : `**${status}**`} | ${iso(since)} | ${minimum ?? ''} … ${maximum ?? ''} |`]
  })
  return rows.length === 0 ? '' : ['| range | status | since | normal |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function events(state: TwinState): string {
  if (state.recentEvents.length === 0) return ''
  return ['Recent device events:', ...state.recentEvents.map(({ name, ts }) => `- ${name}, ${iso(ts)}`)].join('\n')
}

function short(value: Value): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Device text in Markdown: as code, so that nothing in it is markup. */
function code(text: string): string {
  return `\`${text.replace(/[`|\r\n]/g, ' ')}\``
}
