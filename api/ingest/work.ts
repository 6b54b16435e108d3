/** One tick's work: what it changes, and what is to be done once that is committed. */
import type { Span } from '@opentelemetry/api'
import type { Device } from './device.ts'
import type { Lane, RemovedDevice, TickChanges } from './lane-store.ts'

export interface Work {
  changes: TickChanges
  touched: Set<Device>
  answered: Array<{ device: Device; seq: number }>
  sealed: Device[]
  removed: RemovedDevice[]
  /** Messages of registrations that ended. */
  dropped: number
  /** Of sampled messages. They end with the commit. */
  spans: Span[]
}

export function newWork(lanes: Lane[]): Work {
  const changes: TickChanges = {
    lanes,
    news: [],
    late: [],
    inboxes: [],
    messageIds: [],
    deadLetters: [],
    errors: [],
    answers: [],
    requests: [],
    refusedRequests: [],
    commandNews: [],
    commandLate: [],
    updateNews: [],
    removed: [],
    reruled: [],
  }
  return { changes, touched: new Set(), answered: [], sealed: [], removed: [], dropped: 0, spans: [] }
}

/** The device's row is to be written. `seal`: not only what every message changes. */
export function touch(work: Work, device: Device, seal = false): void {
  work.touched.add(device)
  if (seal) device.dirtySeal = true
}

/** Whether anything but the lanes is to be written. */
export function isWork({ lanes: _, ...changes }: TickChanges): boolean {
  return Object.values(changes).some((list) => list.length > 0)
}
