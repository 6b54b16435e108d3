/**
 * What a device has to send and was not acknowledged yet, oldest first and bounded.
 * When full, the oldest that is not under way makes room: a device's memory is small, and the newest matters most.
 */
import type { Outgoing } from './message.ts'

export interface Outbox {
  /** Returns the message that had to make room, if any. */
  add(message: Outgoing): Outgoing | undefined
  /** The next one to put on the wire, or undefined: nothing waits, or enough is under way. */
  take(): Outgoing | undefined
  /** It ended: acknowledged or refused. False if it was not under way any more. */
  done(message: Outgoing): boolean
  /** The connection is gone: what was under way waits again, in its old order. */
  rewind(): void
  readonly size: number
}

export function createOutbox(capacity: number, window: number): Outbox {
  let waiting: Outgoing[] = []
  const underWay = new Set<Outgoing>()
  return {
    add(message) {
      waiting.push(message)
      return waiting.length + underWay.size > capacity ? waiting.shift() : undefined
    },
    take() {
      if (underWay.size >= window) return undefined
      const message = waiting.shift()
      if (message) underWay.add(message)
      return message
    },
    done: (message) => underWay.delete(message),
    rewind() {
      waiting = [...underWay, ...waiting]
      underWay.clear()
    },
    get size() {
      return waiting.length + underWay.size
    },
  }
}
