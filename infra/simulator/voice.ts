/**
 * What a simulated device has to say: kept until it is acknowledged, put on the wire while there is one, and again when that broke.
 */
import type { Link } from './link.ts'
import type { Outgoing } from './message.ts'
import { createOutbox } from './outbox.ts'
import type { Figures } from './report.ts'

export interface Voice {
  /** In its turn. `then`, once, when it has arrived. */
  say(message: Outgoing, then?: () => void): void
  /** At once, past all that waits. */
  sayNow(message: Outgoing): void
  /** There is a line: the hello goes out, then what waits. */
  begin(link: Link, hello: Outgoing): void
  /** There is none any more: what was under way waits again. */
  pause(): void
  acknowledged(message: Outgoing): void
  refused(message: Outgoing): void
  /** All that waits is lost. */
  forget(): void
  readonly size: number
}

export interface VoiceOptions {
  /** So many messages may be under way at once. */
  window: number
  figures: Figures
  acknowledged(message: Outgoing, at: number): void
}

const CAPACITY = 1_000

export function createVoice({ window, figures, acknowledged }: VoiceOptions): Voice {
  let outbox = createOutbox(CAPACITY, window)
  const afterwards = new Map<Outgoing, () => void>()
  let link: Link | undefined

  function flush(): void {
    while (link) {
      const message = outbox.take()
      if (!message) return
      put(link, message)
    }
  }

  function put(to: Link, message: Outgoing): void {
    if (message.attempts === 0) figures.sent += 1
    else figures.retried += 1
    message.attempts += 1
    message.sentAt = Date.now()
    to.send(message)
  }

  function drop(message: Outgoing): void {
    figures.dropped += 1
    afterwards.delete(message)
  }

  return {
    say(message, then) {
      if (then) afterwards.set(message, then)
      const forced = outbox.add(message)
      if (forced) drop(forced)
      flush()
    },
    sayNow(message) {
      if (link) put(link, message)
    },
    begin(next, hello) {
      link = next
      put(next, hello)
      flush()
    },
    pause() {
      link = undefined
      outbox.rewind()
    },
    acknowledged(message) {
      const now = Date.now()
      if (message.kind !== 'presence' && !outbox.done(message)) return
      figures.acknowledged += 1
      figures.latency.add(now - message.sentAt)
      acknowledged(message, now)
      const then = afterwards.get(message)
      afterwards.delete(message)
      flush()
      then?.()
    },
    refused(message) {
      if (!outbox.done(message)) return
      figures.refused += 1
      afterwards.delete(message)
      flush()
    },
    forget() {
      figures.dropped += outbox.size
      outbox = createOutbox(CAPACITY, window)
      afterwards.clear()
    },
    get size() {
      return outbox.size
    },
  }
}
