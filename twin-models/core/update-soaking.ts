/**
 * An update whose device runs the new firmware: it is healthy when it stays there, as it is, well, and without a new critical alarm
 * (docs/rollouts.md, "Healthy").
 */
import { BY_TIMER } from './causes.ts'
import { criticalAlarms, giveUpAt } from './evolve-updates.ts'
import type { Cause, OpenUpdate, TwinEvent, TwinState } from './types.ts'
import { awaited } from './update-returns.ts'
import { type End, endedUpdate } from './update-steps.ts'

/** An alarm may be there now, or worse than it was, or no longer muted. */
const ALARM_NEWS: ReadonlySet<string> = new Set<TwinEvent['kind']>(['alarm-raised', 'alarm-updated'])

/** Of one that soaks, by all that is known. Health that nobody told of counts as good, and so do alarms that were there when it booted. */
export function verdict(state: TwinState, update: OpenUpdate, at: number, cause: Cause): TwinEvent[] {
  const { firmware, health, presence } = state
  const { soakingSince = Infinity, soakMs } = update
  const end = (end: End): TwinEvent[] => [endedUpdate(update, update.from, at, cause, end)]
  if (firmware?.version !== update.firmware.version) {
    const message = `It ran ${update.firmware.version}, and runs ${firmware?.version} now.`
    return end({ status: 'rolled-back', code: 'returned', message })
  }
  if (firmware.sha256 !== update.firmware.sha256) return end(otherContent(state))
  if (health?.ok === false) return end({ status: 'failed', code: 'unhealthy', message: unwell(health.errors) })
  const alarm = criticalAlarms(state).find(({ n, muted }) => !muted && !update.criticalBefore?.includes(n))
  if (alarm) return end({ status: 'failed', code: 'alarm', message: `Alarm ${alarm.rule}: ${alarm.text}` })
  if (presence.status === 'online' && at >= soakingSince + soakMs) return end({ status: 'healthy' })
  return []
}

/** What its rules have just found for one that soaks; `state` is that after it. A new alarm ends its soak. */
export function decideOnAlarms(state: TwinState, events: TwinEvent[], at: number): TwinEvent[] {
  const { update } = state
  const news = update?.phase === 'soaking' ? events.findLast(({ kind }) => ALARM_NEWS.has(kind)) : undefined
  return news ? verdict(state, update as OpenUpdate, at, news.cause) : []
}

/** Its deadline has come: it is healthy, looked at once more, or too late. */
export function dueSoaking(state: TwinState, update: OpenUpdate, now: number): TwinEvent[] {
  const steady = verdict(state, update, now, BY_TIMER)
  if (steady.length > 0) return steady
  const last = giveUpAt(update)
  const isOnline = state.presence.status === 'online'
  if (now < last) {
    const soaksUntil = isOnline && update.soakingSince !== undefined ? update.soakingSince + update.soakMs : last
    return [awaited(update, now, Math.min(soaksUntil, last))]
  }
  const end: End = isOnline
    ? { status: 'timed-out', code: 'unsteady', message: 'It came and went, and was never there for long enough.' }
    : { status: 'timed-out', code: 'silent', message: 'It came with the new firmware, and has been silent since.' }
  return [endedUpdate(update, update.from, now, BY_TIMER, end)]
}

export function otherContent({ firmware }: TwinState): End {
  const found = firmware?.sha256 === undefined ? 'does not say its SHA-256' : `its SHA-256 is ${firmware.sha256}`
  return { status: 'failed', code: 'hash-mismatch', message: `It runs ${firmware?.version}, but ${found}.` }
}

function unwell(errors: string[] = []): string {
  return errors.length > 0 ? `It says that it is not well: ${errors.join(', ')}` : 'It says that it is not well.'
}
