/** What others ask of the twins, what the twins answered, and whose registration ended: the rows that wait for the owner of the lanes. */
import { addInput, answered } from '../../twin-models/core/inbox.ts'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { configuredInput, type Device } from './device.ts'
import type { DeviceCache } from './device-cache.ts'
import type { Answer, LaneStore, RemovedDevice, TwinRequest } from './lane-store.ts'
import { inputOf } from './requests.ts'
import { beginRules } from './rule-book.ts'
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

/**
 * Before the messages of the tick: they are decoded by the model, and held against the wake conditions, that are taken here. What time has made of
 * it so far (`tellTime`) is a matter of the settings before.
 */
export async function takeAnswers(
  { answers, requests, removed }: Asked,
  at: number,
  devices: DeviceCache,
  work: Work,
  tellTime: (device: Device) => void,
): Promise<void> {
  for (const row of removed) {
    devices.remove(row.incarnation)
    work.removed.push(row)
    work.changes.removed.push(row.incarnation)
  }
  const configured = requests.filter(({ kind }) => kind === 'configured')
  // A device whose model changed is read anew, before anything else is done with it. What is in memory is committed.
  for (const { incarnation } of configured) devices.forget(incarnation)
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
  const newSettings = (device: Device): TwinInput | undefined => {
    tellTime(device)
    return configuredInput(device, at)
  }
  for (const request of configured) take(request, newSettings, devices, work)
}

/**
 * After the messages of the tick, in the order in which they were asked for. Who waits for strong consistency waits until the log was read
 * to its end (`caughtUp`), which was done after the requests were read: so all that was acknowledged before is processed. What is done with an
 * alarm comes after what time has made of it (`tellTime`).
 */
export function takeRequests(
  { requests }: Asked,
  at: number,
  devices: DeviceCache,
  work: Work,
  caughtUp: boolean,
  tellTime: (device: Device) => void,
): void {
  for (const request of requests) {
    if (request.kind === 'configured' || (request.kind === 'deliver' && !caughtUp)) continue
    const inputFor = (device: Device): TwinInput | undefined => {
      const input = inputOf(request, at)
      if (input?.kind === 'alarm' || input?.kind === 'maintenance') tellTime(device)
      return input
    }
    take(request, inputFor, devices, work)
  }
}

function take(
  { id, incarnation }: TwinRequest,
  inputFor: (device: Device) => TwinInput | undefined,
  devices: DeviceCache,
  work: Work,
): void {
  const device = devices.get(incarnation)
  if (!device) {
    // Written while its device was removed: it is answered as the others were then.
    work.changes.removed.push(incarnation)
    return
  }
  const input = inputFor(device)
  if (input === undefined) {
    work.changes.refusedRequests.push(id)
    return
  }
  beginRules(device, input.at)
  addInput(device.inbox, input)
  work.changes.requests.push({ id, seq: device.inbox.sealedSeq + 1 })
  touch(work, device)
}
