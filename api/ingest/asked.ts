/** What others ask of the twins, what the twins answered, and whose registration ended: the rows that wait for the owner of the lanes. */
import { addInput, answered } from '../../twin-models/core/inbox.ts'
import { configuredInput } from './device.ts'
import type { DeviceCache } from './device-cache.ts'
import type { Answer, LaneStore, RemovedDevice, TwinRequest } from './lane-store.ts'
import { touch, type Work } from './work.ts'

const LIMITS = { answers: 1_000, requests: 500, removed: 200 } as const

export interface Asked {
  answers: Answer[]
  requests: TwinRequest[]
  removed: RemovedDevice[]
}

export async function readAsked(store: LaneStore, lanes: number[]): Promise<Asked> {
  const [answers, requests, removed] = await Promise.all([
    store.answers(lanes, LIMITS.answers),
    store.requests(lanes, LIMITS.requests),
    store.removed(lanes, LIMITS.removed),
  ])
  return { answers, requests, removed }
}

/** Before the messages of the tick: they are held against the wake conditions that the answers brought. */
export async function takeAnswers({ answers, requests, removed }: Asked, devices: DeviceCache, work: Work): Promise<void> {
  for (const row of removed) {
    devices.remove(row.incarnation)
    work.removed.push(row)
    work.changes.removed.push(row.incarnation)
  }
  // A device whose model changed is read anew, before anything else is done with it. What is in memory is committed.
  for (const { kind, incarnation } of requests) if (kind === 'configured') devices.forget(incarnation)
  await devices.load([...answers, ...requests].map((row) => row.incarnation))
  for (const { id, incarnation, seq, wake } of answers) {
    work.changes.answers.push(id)
    const device = devices.get(incarnation)
    if (!device) continue
    answered(device.inbox, seq, JSON.parse(wake))
    device.mergedTexts.forgetAll()
    work.answered.push({ device, seq })
    touch(work, device, true)
  }
}

/**
 * After the messages of the tick. They were read after the requests: so all that was acknowledged before somebody asked for strong
 * consistency is processed, once the log was read to its end.
 */
export function takeRequests({ requests }: Asked, readToEnd: boolean, at: number, devices: DeviceCache, work: Work): void {
  for (const { id, kind, incarnation } of requests) {
    const device = devices.get(incarnation)
    if (!device || (kind === 'deliver' && !readToEnd)) continue
    addInput(device.inbox, kind === 'configured' ? configuredInput(device, at) : { kind: 'deliver', at, request: id })
    work.changes.requests.push({ id, seq: device.inbox.sealedSeq + 1 })
    touch(work, device)
  }
}
