/**
 * Devices that only report, over HTTP, get what is due in the answer to their report.
 *
 * Reports are many and wishes are few, so a report costs a look only when there is reason for one: news of the device came by since the
 * last look, or that is half a minute ago (news may get lost, and what stays unanswered goes again). Devices that hear of it otherwise, by a
 * connection or by asking, are left alone: they may not read what a report is answered with.
 */
import type { Logger } from 'pino'
import type { Pending } from '../downlink.ts'
import { batched } from './batch.ts'
import { type HandOut, isNothing } from './hand-out.ts'
import { remember } from './remember.ts'

export interface DeviceReports {
  /** Never rejects; undefined: nothing. */
  due(incarnation: number): Promise<Pending | undefined>
  /** Something may be due for these devices. */
  wake(incarnations: Iterable<number>): void
  wakeAll(): void
  /** The device asks for what is pending by itself. */
  asks(incarnation: number): void
}

export interface DeviceReportsOptions {
  handOut: HandOut
  /** It hears of all by an MQTT connection, or waits. */
  hears: (incarnation: number) => boolean
  log: Logger
  now?: () => number
}

const LOOK_MS = 30_000
/** Who asked for what is pending so lately is somebody that asks. */
const ASKS_MS = 5 * 60_000
const DEVICES_A_LOOK = 500

export function createDeviceReports({ handOut, hears, log, now = Date.now }: DeviceReportsOptions): DeviceReports {
  const lookUp = batched(handOut, DEVICES_A_LOOK)
  /** When the device is looked at again, whatever comes by. One that is forgotten costs a look. */
  const lookAt = new Map<number, number>()
  const askedAt = new Map<number, number>()

  return { due, wake, wakeAll: () => lookAt.clear(), asks }

  async function due(incarnation: number): Promise<Pending | undefined> {
    if ((lookAt.get(incarnation) ?? 0) > now() || hears(incarnation) || (askedAt.get(incarnation) ?? 0) > now() - ASKS_MS) return undefined
    remember(lookAt, incarnation, now() + LOOK_MS)
    try {
      const pending = await lookUp(incarnation)
      return pending && !isNothing(pending) ? pending : undefined
    } catch (err) {
      log.debug({ err }, 'What is pending for a device that reports could not be read; its next report asks again')
      lookAt.delete(incarnation)
      return undefined
    }
  }

  function wake(incarnations: Iterable<number>): void {
    for (const incarnation of incarnations) lookAt.delete(incarnation)
  }

  function asks(incarnation: number): void {
    remember(askedAt, incarnation, now())
  }
}
