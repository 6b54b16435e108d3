/** What an operator reads of a rollout in the Temporal UI, as Markdown: how it stands, wave by wave, what went wrong where, and what may be done now. */
import type { ForwardResult, LeftOut, RolloutDetails, RolloutPreview } from '../activities/rollout-ports.ts'
import { code, section, time } from '../twin-models/core/markdown.ts'
import { gateOf } from '../twin-models/core/rollout-judge.ts'
import type { RolloutCounts, RolloutState, WaveCounts } from '../twin-models/core/rollout-types.ts'
import { summed } from '../twin-models/core/rollout-waves.ts'
import { formatDuration } from '../twin-models/durations.ts'
import type { RolloutCarried } from './messages.ts'

const BAR = 20
const MOST_OF_A_NAME = 24

/** `forward`: once it goes back. */
export function rolloutReport(
  carried: RolloutCarried,
  counts: RolloutCounts,
  details: RolloutDetails | undefined,
  forward?: ForwardResult,
): string {
  const { about, state, note } = carried
  const parts = [
    headline(carried, counts),
    ...(state.reason ? [`**${state.reason}**`] : []),
    ...(state.direction === 'back' && details ? [stayWords(carried, details)] : []),
    ...(note ? [`Last: ${note}`] : []),
    state.chosen ? wavesOf(carried, counts) : plannedWaves(carried),
    ...(state.status === 'draft' && about.preview ? [about.preview] : []),
    ...(state.chosen ? [gateWords(carried, counts)] : [rulesOf(carried)]),
    ...(details ? detailsOf(details) : []),
    ...(state.direction === 'back' && forward ? forwardWords(about.waves, forward) : []),
    mayBeDone(state),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function headline({ id, tenant, about, plan, state }: RolloutCarried, counts: RolloutCounts): string {
  const all = summed(counts.waves)
  const done = all.healthy + all.failed + all.left
  const reachesNobody = state.direction === 'back' && all.total === 0
  const ended = reachesNobody ? ': it reaches nobody' : `: ${percentOf(done, all.total)} of ${all.total} devices have ended`
  const how = state.chosen ? ended : ''
  const what =
    state.direction === 'back' ? `Rollback ${state.status === 'rolling-back' ? 'running' : state.status}` : `Rollout ${state.status}`
  const target = about.isGroup ? `group ${code(about.target)}` : `devices with ${code(shortened(about.target))}`
  const approved = state.approvedBy === undefined ? '' : `, approved by ${code(state.approvedBy)}`
  return [
    `### ${what}${how}`,
    `${code(about.name)}: firmware ${code(`${about.firmware.name} ${about.firmware.version}`)} for ${target}. Asked by ${code(plan.by)} on ${time(about.createdAt)}${approved}. Tenant ${code(tenant)}, id ${code(id)}.`,
  ].join('\n\n')
}

/** Of those that run what it brought. */
function stayWords({ about }: RolloutCarried, { reasons, leftOut }: RolloutDetails): string {
  const stay = [...reasons, ...leftOut].filter(({ reason }) => reason === 'no-way-back').reduce((sum, { devices }) => sum + devices, 0)
  if (stay === 0) return ''
  const who = stay === 1 ? 'One device stays' : `${stay} devices stay`
  return `**${who} on ${about.firmware.version}: there is no way back from it.** Its manifest does not name what they ran before, or that is no usable artifact.`
}

function forwardWords(names: string[], { waves, details }: ForwardResult): string[] {
  const lines = waves.map((wave, i) => `- Wave ${i + 1} (${shortened(names[i] ?? '', MOST_OF_A_NAME)}): ${numbersOf(wave)}`)
  return [section('The way forward, before the rollback', lines), ...detailsOf(details, 'On the way forward: ')]
}

/** Narrow: the UI shows it in half of its page, and cuts off what is wider. */
function wavesOf({ about, state }: RolloutCarried, { waves, ahead }: RolloutCounts): string {
  const names = (state.direction === 'back' ? about.rollbackWaves : about.waves).map((name) => shortened(name, MOST_OF_A_NAME))
  const widest = Math.max(...names.map((name) => name.length))
  const rows = waves.map((wave, i) => {
    const mark = i < state.wave || state.status === 'completed' ? '✓' : i === state.wave ? '▶' : ' '
    const first = `${mark} ${String(i + 1).padEnd(2)} ${(names[i] ?? '').padEnd(widest)}  ${bar(wave)}`.trimEnd()
    return `${first}\n     ${numbersOf(wave)}`
  })
  const before = ahead > 0 ? `\n\nUpdates from before the rollback that have not ended yet: ${ahead}.` : ''
  return `\`\`\`text\n${rows.join('\n')}\n\`\`\`\n█ healthy, ▓ failed, ▒ under way, ░ waiting${before}`
}

function plannedWaves({ about, state }: RolloutCarried): string {
  return `Waves: ${(state.direction === 'back' ? about.rollbackWaves : about.waves).join(', ')}. Its devices are not chosen yet.`
}

function numbersOf({ total, waiting, underway, healthy, failed, left }: WaveCounts): string {
  const counts = { healthy, failed, 'under way': underway, waiting, left }
  const words = Object.entries(counts).filter(([, count]) => count > 0)
  return `${total} devices${words.length > 0 ? `: ${words.map(([word, count]) => `${count} ${word}`).join(', ')}` : ''}`
}

/** Of those that have a part in it. Whatever there is of something is at least one mark long, so rounding takes from the longest. */
function bar({ total, left, healthy, failed, underway, waiting }: WaveCounts): string {
  const counted = total - left
  if (counted === 0) return ' '.repeat(BAR)
  const parts = [healthy, failed, underway, waiting].map((count) => (count === 0 ? 0 : Math.max(1, Math.round((count / counted) * BAR))))
  for (let over = parts.reduce((sum, part) => sum + part, -BAR); over !== 0; over -= Math.sign(over))
    parts[parts.indexOf(Math.max(...parts))]! -= Math.sign(over)
  return ['█', '▓', '▒', '░'].map((mark, i) => mark.repeat(parts[i]!)).join('')
}

function gateWords({ plan, state, about }: RolloutCarried, { waves }: RolloutCounts): string {
  const current = waves[state.wave]
  if (!current) return ''
  const { needed, counted } = gateOf(plan.gate, current, state.acknowledged.wave)
  const judged = current.healthy + current.failed
  const rate = judged === 0 ? 'None has ended yet' : `${percentOf(current.failed, judged)} of ${judged} judged failed`
  const silent = current.silent > 0 ? `, ${current.silent} of them fell silent` : ''
  const lines = [
    `- Wave ${state.wave + 1}: ${current.healthy} of ${counted} are healthy, its gate is ${needed} (${percent(plan.gate)}). ${rate}${silent}.`,
    haltWords(plan),
    state.acknowledged.all > 0 ? `- Failures acknowledged by a resume: ${state.acknowledged.all}.` : '',
    paceWords(about, state),
    windowWords(about),
  ]
  return section('How it goes', lines)
}

/** Of one that has not begun, for whoever approves it. */
function rulesOf({ plan, state, about }: RolloutCarried): string {
  const gate = `- The next wave begins when ${percent(plan.gate)} of the one before is healthy.`
  return section('How it is to go', [gate, haltWords(plan), paceWords(about, state), windowWords(about)])
}

function haltWords({ failures: { share, minimum, count } }: RolloutCarried['plan']): string {
  const all = count === undefined ? '' : `, or more than ${count} of all`
  return `- It halts when more than ${percent(share)} of at least ${minimum} judged devices of a wave fail${all}, or so many that its gate is out of reach.`
}

function paceWords({ soakMs }: RolloutCarried['about'], { pace }: RolloutState): string {
  const soak = soakMs === 0 ? ' and says so' : ` without a fault for ${formatDuration(soakMs)}`
  return `- Healthy is who runs it${soak}. At most ${pace.perSecond} devices are asked a second, ${pace.atOnce} at once.`
}

function windowWords({ window }: RolloutCarried['about']): string {
  return window === undefined ? '' : `- Devices are told within their maintenance window: ${window}.`
}

function detailsOf({ reasons, sites, leftOut }: RolloutDetails, before = ''): string[] {
  const titled = (title: string) => (before === '' ? title : `${before}${title[0]!.toLowerCase()}${title.slice(1)}`)
  const parts: string[] = []
  if (reasons.length > 0)
    parts.push(
      section(
        titled('Why devices did not end healthy'),
        reasons.map(({ status, ...row }) => `- ${status}, ${leftWords(row)}`),
      ),
    )
  if (sites.length > 0) {
    const lines = sites.map(
      ({ site, failed, judged }) => `- ${code(shortened(site))}: ${failed} of ${judged} failed (${percentOf(failed, judged)})`,
    )
    parts.push(section(titled('Suspicious sites'), lines))
  }
  if (leftOut.length > 0) parts.push(leftOutWords(leftOut, titled('Left out')))
  return parts
}

/** For who approves it: whom it would reach if it began at that time. */
export function previewReport(preview: RolloutPreview | { problem: string }, at: number): string {
  if ('problem' in preview) return `**It cannot choose its devices as things stand.** ${preview.problem}`
  const { found, total, waves, versions, leftOut } = preview
  const waveLines = waves.map(
    ({ devices, sample }, i) => `- Wave ${i + 1}: ${devices}${devices > 0 ? ` (${listed(sample, devices)})` : ''}`,
  )
  const versionLines = versions.map(({ version, devices }) => `- ${version === null ? 'unknown' : code(shortened(version))}: ${devices}`)
  return [
    section(`As things stood on ${time(at)}: ${total} of ${found} devices`, waveLines),
    ...(versions.length > 0 ? [section('From which version', versionLines)] : []),
    ...(leftOut.length > 0 ? [leftOutWords(leftOut)] : []),
  ].join('\n\n')
}

function leftOutWords(leftOut: LeftOut[], title = 'Left out'): string {
  return section(
    title,
    leftOut.map((row) => `- ${leftWords(row)}`),
  )
}

function leftWords({ reason, devices, sample }: LeftOut): string {
  return `${code(shortened(reason))}: ${devices} (${listed(sample, devices)})`
}

function listed(sample: string[], devices: number): string {
  return `${sample.map(code).join(', ')}${devices > sample.length ? ', …' : ''}`
}

function mayBeDone({ status, direction, back }: RolloutState): string {
  const isBack = direction === 'back'
  const rollback = !isBack || back?.which === 'failed' ? ', `rollback`' : ''
  switch (status) {
    case 'draft':
      return 'It waits for its approval. Updates: `approve`, `pace`, `exclude`, `cancel`.'
    case 'running':
    case 'rolling-back':
      return `Updates: \`pause\`, \`halt\`, \`advance\`, \`pace\`, \`exclude\`${rollback}, \`cancel\`.`
    case 'paused':
    case 'halted':
      return `Updates: \`resume\`, \`pace\`, \`exclude\`${rollback}, \`cancel\`.`
    case 'completed':
    case 'cancelled':
      return isBack && back?.which !== 'failed' && status === 'completed'
        ? ''
        : `${isBack ? 'What still runs' : 'Devices that run'} the new version can be sent back: start \`rollout\` with \`{"tenant": …, "id": …, "ask": {"action": "rollback"}}\`, or ask over REST.`
  }
}

function percentOf(count: number, whole: number): string {
  return whole === 0 ? '100 %' : `${Math.floor((count / whole) * 1000) / 10} %`
}

function percent(share: number): string {
  return `${Math.round(share * 1e6) / 1e4} %`
}

function shortened(text: string, most = 200): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}
