/** The line between a simulated device and Castor: one connection's life over MQTT, or requests over HTTP. */
import type { Asked } from './asked.ts'
import type { Outgoing } from './message.ts'

export interface Link {
  send(message: Outgoing): void
  /** Ends in good order; resolves when it is down, at the latest after a second. */
  end(): Promise<void>
  /** Pulls the plug: no DISCONNECT, so the last will speaks. */
  cut(): void
}

export interface LinkEvents {
  up(): void
  /** At most once, and nothing after it. What was under way is not acknowledged. */
  down(why: Down): void
  acknowledged(message: Outgoing): void
  /** Castor does not want this message, now or later. */
  refused(message: Outgoing, reason: string): void
  /** A word from Castor on what was wrong with a message. */
  told(code: string): void
  /** Something is asked of the device. */
  asked(asked: Asked): void
}

export interface Down {
  reason: string
  /** The credential was not accepted. */
  credential?: boolean
  /** Castor asked to wait this long. */
  retryAfterMs?: number
}

export interface LinkOptions {
  url: string
  tenant: string
  device: string
  token: string
  /** Said by the broker when the connection breaks. */
  will: Outgoing
  keepaliveSeconds: number
  /** Over HTTP: how long Castor may hold back its answer while nothing is pending. */
  waitSeconds: number
}
