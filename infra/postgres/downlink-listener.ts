/**
 * Hears for which devices there is something to send (announcer.ts). The driver keeps a connection for it, and makes and subscribes a new
 * one when that is lost, for as long as it takes; what was said meanwhile nobody tells, so then all must be looked at.
 */
import type { Logger } from 'pino'
import { DOWNLINK_CHANNEL, ERRORS_CHANNEL } from './announcer.ts'
import { connect } from './connect.ts'

export interface DownlinkListenerOptions {
  url: string
  onNews(incarnations: number[]): void
  /** Devices without a connection, of which a message was refused. */
  onErrors(incarnations: number[]): void
  /** It listens from now on, for the first time or again. */
  onListening(): void
  log: Logger
}

export function listenForDownlink({ url, onNews, onErrors, onListening, log }: DownlinkListenerOptions): { stop(): Promise<void> } {
  const sql = connect(url, { max: 1, name: 'bridge listener', connectTimeoutMs: 4000 })
  let stopped = false
  hear(DOWNLINK_CHANNEL, onNews)
  hear(ERRORS_CHANNEL, onErrors)

  function hear(channel: string, onHeard: (incarnations: number[]) => void): void {
    const listening = () => {
      if (!stopped) onListening()
    }
    sql
      .listen(channel, (payload) => onHeard(payload.split(',').map(Number).filter(Number.isSafeInteger)), listening)
      .catch((err: unknown) => {
        if (!stopped) log.info({ err }, 'News for devices is not heard at the moment; the bridge looks by itself')
      })
  }

  return {
    async stop() {
      stopped = true
      await sql.end({ timeout: 1 })
    },
  }
}
