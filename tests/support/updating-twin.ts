/** Twins whose update has come so far, and what is told them. */
import type { Step } from '../../twin-models/core/consume.ts'
import type { TwinEvent, UpdateRequest } from '../../twin-models/core/types.ts'
import { AskedTwin, brief } from './asked-twin.ts'

export const OLD = { version: '1', sha256: 'one' }
export const NEW = { version: '2', sha256: 'two' }

/** Of a device that runs version 1, online from 1000 on; the next input is of 2000. */
export function updatable(): AskedTwin {
  const twin = new AskedTwin()
  twin.hello({ firmware: OLD, health: { ok: true, battery: 50 } })
  twin.now = 2_000
  return twin
}

/** Its update `u` was let go at 2000 until 102000, and is due at 12000. */
export function released(more: Partial<UpdateRequest> = {}): AskedTwin {
  const twin = updatable()
  twin.update('u', more)
  twin.now = 3_000
  return twin
}

/** It came with version 2 at 3000, is to soak until 23000, and has time until 53000. */
export function soaking(more: Partial<UpdateRequest> = {}): AskedTwin {
  const twin = released(more)
  twin.hello({ firmware: NEW })
  twin.now = 4_000
  return twin
}

export const goodbye = (twin: AskedTwin): Step => twin.hello({ status: 'offline' })
export const will = (twin: AskedTwin): Step => twin.hello({ status: 'offline', will: true })
export const silent = (twin: AskedTwin): Step => twin.give({ kind: 'silent', at: twin.now, lastSeenAt: twin.state.presence.lastSeenAt })
export const told = (sentAt: number | null, status = 'notified') => ({ id: 'u', sentAt, status })
export const ofUpdate = (events: TwinEvent[]): string[] => brief(events.filter(({ kind }) => kind.startsWith('update-')))
