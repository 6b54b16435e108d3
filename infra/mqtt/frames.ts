/**
 * Follows the framing of MQTT on a socket, so that a packet that is too long is known by its first bytes: the parser of the broker would
 * gather up to 256 MB of it before anybody sees it. Looks at what the broker reads, and reads nothing itself.
 */
import type { Socket } from 'node:net'

/** Longest packets, in bytes after their fixed header. */
export interface FrameLimits {
  /** Of the first one, the CONNECT: its sender is not known yet. */
  first: number
  max: number
}

/** To be called after the broker attached its 'readable' listener, else the socket would begin to flow past it. */
export function watchFrames(socket: Socket, limits: FrameLimits, onTooLong: (atLeast: number) => void): void {
  /** Bytes of the packet's body that are still to come. */
  let rest = 0
  /** Inside the length: what it is so far, and the weight of its next byte; 0 before the first byte of a packet. */
  let length = 0
  let weight = 0
  let limit = limits.first
  socket.on('data', look)

  function look(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (rest > 0) {
        const skipped = Math.min(rest, chunk.length - at)
        rest -= skipped
        at += skipped
      } else if (weight === 0) {
        weight = 1
        length = 0
        at++
      } else {
        const byte = chunk[at++]!
        length += (byte & 127) * weight
        weight *= 128
        if (length > limit || weight > 2 ** 28) {
          socket.removeListener('data', look)
          onTooLong(length)
          return
        }
        if (byte < 128) {
          rest = length
          weight = 0
          limit = limits.max
        }
      }
    }
  }
}
