/** What is asked of a device and how far it has come, as sections of its twin's report (report.ts). */
import { code, section, short, time } from './markdown.ts'
import { valueAt } from './pointer.ts'
import type { OpenUpdate, TwinState, WishedLeaf } from './types.ts'
import { hasWaited } from './update-steps.ts'

const SHOWN_WISHES = 30
const SHOWN_COMMANDS = 20
/** What needs attention comes first. */
const ORDER: Array<WishedLeaf['status']> = ['diverged', 'pending', 'acknowledged', 'converged']

export function wishesAsked({ desired, reported }: TwinState): string {
  if (desired.version === 0) return ''
  const leaves = Object.entries(desired.leaves).sort(([, a], [, b]) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status))
  const lines = leaves.slice(0, SHOWN_WISHES).map(([path, leaf]) => {
    const wished = valueAt(desired.state, path)
    const is = valueAt(reported.state, path)
    const what = wished === undefined ? 'wished no longer' : `${code(short(wished))} wished`
    const found = leaf.status === 'converged' ? '' : `, ${is === undefined ? 'nothing' : code(short(is))} reported`
    return `- ${code(short(path))}: ${what}${found}; ${progress(leaf)}`
  })
  const answered = desired.answered === 0 ? 'none answered' : `answered up to ${desired.answered}`
  return section(`Wishes, version ${desired.version}, ${answered}`, bounded(lines, leaves.length, 'nothing is wished'))
}

function progress({ status, since, by, deadlineAt, reason, code: why, message }: WishedLeaf): string {
  const deadline = deadlineAt !== undefined && status !== 'diverged' ? `, until ${time(deadlineAt)}` : ''
  const words = [reason, why && code(short(why)), message && code(short(message))].filter(Boolean).join(', ')
  const state = status === 'diverged' ? `**diverged** (${words})` : status
  return `${state} since ${time(since)}, by ${code(short(by))}${deadline}`
}

export function commandsAsked({ commands }: TwinState): string {
  if (commands.length === 0) return ''
  const lines = commands
    .slice(0, SHOWN_COMMANDS)
    .map(
      ({ id, name, released, expiresAt, by }) =>
        `- ${code(short(name))} ${code(id)}: ${released ? 'may be sent' : 'waits for one before it'}, until ${time(expiresAt)}, by ${code(short(by))}`,
    )
  return section('Commands that have not ended', bounded(lines, commands.length, ''))
}

export function updateAsked({ update }: TwinState): string {
  if (!update) return ''
  const { id, rollout, kind, firmware, from, attempt, attempts, phase, deadlineAt, bootedAt, code: why, message, by } = update
  const origin = rollout === undefined ? `by ${code(short(by))}` : `of rollout ${code(rollout)}`
  const before = from ? `from ${code(short(from.version))} ` : ''
  const words = {
    waiting: `waits until ${time(deadlineAt)}`,
    released: `let go: its device has been told, or will be when it is there, until ${time(update.until ?? deadlineAt)}; looked at again at ${time(deadlineAt)}`,
    soaking: `runs since ${time(bootedAt ?? 0)}, and is to stay healthy; looked at again at ${time(deadlineAt)}`,
  }
  return section('Firmware update', [
    `- ${kind === 'rollback' ? 'Back' : 'Update'} ${before}to ${code(short(firmware.version))}, ${origin}: ${code(id)}`,
    `- Attempt ${attempt} of ${attempts}: ${words[phase]}`,
    ...(phase === 'released' ? deviceWords(update) : []),
    why === undefined || hasWaited(update)
      ? ''
      : `- Why: ${[why, message].flatMap((word) => (word === undefined ? [] : code(short(word)))).join(', ')}`,
  ])
}

/** That it downloads, and how far, the twin is not told. */
function deviceWords({ id, said, saidAt, returnsBy }: OpenUpdate): string[] {
  const far = `- How far its device is with it stands in REST: ${code(`GET /v1/updates/${id}`)}`
  if (said === undefined) return [far]
  const back =
    returnsBy === undefined ? '' : `; it came back with what it had before, and has returned if it still runs that at ${time(returnsBy)}`
  return [`- Its device said at ${time(saidAt ?? 0)} that it ${said === 'installing' ? 'installs' : 'reboots'}${back}`, far]
}

export function updatesEnded({ endedUpdates }: TwinState): string {
  if (endedUpdates.length === 0) return ''
  const lines = endedUpdates.map(({ version, status, at, id, code: why }) => {
    const how = status === 'healthy' ? status : `**${status}**`
    return `- ${code(short(version))}: ${how}${why === undefined ? '' : ` (${code(short(why))})`} at ${time(at)}, ${code(id)}`
  })
  return section('Firmware updates that ended last, the newest first', lines)
}

function bounded(lines: string[], all: number, none: string): string[] {
  if (all === 0) return [`- ${none}`]
  return all > lines.length ? [...lines, `- and ${all - lines.length} more`] : lines
}
