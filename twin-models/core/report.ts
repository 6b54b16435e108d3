/**
 * What a twin says of itself in the Temporal Web UI: Markdown that an operator understands without another page. Lists, no tables: the
 * UI gives the cells of a table no room between them.
 */
import { code, section, short, time } from './markdown.ts'
import { alarmsOpen, maintenanceNow } from './report-alarms.ts'
import { commandsAsked, updateAsked, updatesEnded, wishesAsked } from './report-asked.ts'
import type { NormalRange, TwinState } from './types.ts'

const SHOWN_VALUES = 30
/** A SHA-256 begins like this; the whole stands in REST. */
const HASH_SHOWN = 12

interface Key {
  tenant: string
  device: string
  incarnation: number
}

export function reportOf(key: Key, state: TwinState): string {
  if (state.settings.model === '') return `Twin of device ${code(key.device)} of tenant ${code(key.tenant)}: nothing decided yet.`
  const asked = [updateAsked(state), wishesAsked(state), commandsAsked(state)]
  const parts = [
    alarmsOpen(state),
    maintenanceNow(state),
    outside(state),
    ...asked,
    facts(state),
    updatesEnded(state),
    values(state),
    events(state),
  ]
  return [headline(key, state), ...parts.filter((part) => part !== '')].join('\n\n')
}

function headline({ tenant, device, incarnation }: Key, { settings, presence }: TwinState): string {
  const since = presence.status === 'never' ? '' : ` since ${time(presence.since)} (${presence.reason})`
  return [
    `### ${code(device)} is ${presence.status}${since}`,
    `A ${code(settings.model)}, version ${settings.modelVersion} of the model, of tenant ${code(tenant)}. Registration ${incarnation}.`,
  ].join('\n\n')
}

/** What needs attention comes first. */
function outside(state: TwinState): string {
  const lines = Object.entries(state.ranges).flatMap(([name, { status, since, value, newest }]) =>
    newest === 0 || status === 'normal'
      ? []
      : [`- **${code(name)} is ${status}** since ${time(since)}: ${code(String(value))}, normal is ${normal(state.settings.ranges[name])}`],
  )
  return lines.length === 0 ? '' : section('Outside its normal range', lines)
}

function facts({ firmware, health, presence, revision, seq, messages }: TwinState): string {
  const lines = [
    presence.lastSeenAt > 0 ? `- Last message decided on: ${time(presence.lastSeenAt)}; REST may know later ones` : '',
    firmware
      ? `- Firmware: ${code(firmware.version)}${firmware.sha256 ? `, SHA-256 ${code(`${firmware.sha256.slice(0, HASH_SHOWN)}…`)}` : ''}`
      : '',
    health ? `- Health: ${healthWords(health)}` : '',
    `- Revision ${revision}, newest seal ${seq}, ${messages} ${messages === 1 ? 'message' : 'messages'} in all`,
  ]
  return section('Facts', lines)
}

function healthWords({ ok, battery, rssi, errors }: NonNullable<TwinState['health']>): string {
  const more = [
    battery === undefined ? '' : `battery ${battery} %`,
    rssi === undefined ? '' : `signal ${rssi} dBm`,
    errors && errors.length > 0 ? `errors: ${errors.map(code).join(', ')}` : '',
  ]
  return [ok ? 'ok' : '**not ok**', ...more.filter((word) => word !== '')].join(', ')
}

function values({ values, settings }: TwinState): string {
  const entries = Object.entries(values)
  if (entries.length === 0) return ''
  const lines = entries.slice(0, SHOWN_VALUES).map(([name, [value, ts]]) => {
    const range = settings.ranges[name]
    return `- ${code(name)}: ${code(short(value))} at ${time(ts)}${range ? `; normal is ${normal(range)}` : ''}`
  })
  const left = entries.length - SHOWN_VALUES
  return section('Latest values that it was told', left > 0 ? [...lines, `- and ${left} more`] : lines)
}

function events({ recentEvents }: TwinState): string {
  if (recentEvents.length === 0) return ''
  return section(
    'Recent device events, the newest first',
    recentEvents.map(({ name, ts }) => `- ${code(name)} at ${time(ts)}`),
  )
}

function normal({ minimum, maximum }: NormalRange = {}): string {
  if (minimum === undefined) return `up to ${maximum}`
  return maximum === undefined ? `from ${minimum}` : `${minimum} to ${maximum}`
}
