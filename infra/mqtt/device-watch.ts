/**
 * Looks each second for what concerns live connections: devices that were deleted or have another token (their connections and their
 * waiting requests end), and words for the `errors` topic of devices that are connected here.
 */
import type { Logger } from 'pino'
import type { DevicePolls } from '../../api/http/device-polls.ts'
import type { Sql } from '../postgres/connect.ts'
import { recentlyChangedTokens, recentlyRemoved, takeDeviceErrors } from '../postgres/device-auth.ts'
import type { MqttBroker } from './broker.ts'

export interface DeviceWatchOptions {
  sql: Sql
  broker: MqttBroker
  polls: Pick<DevicePolls, 'drop'>
  /** Our stream in the ingest log: the processor addresses words to it. */
  stream: () => number
  log: Logger
  intervalMs?: number
}

const INTERVAL_MS = 1000
/** Commits become visible late: each look goes back further than the last one. */
const OVERLAP_SECONDS = 30
const ERRORS_A_LOOK = 2000

export function watchDevices({ sql, broker, polls, stream, log, intervalMs = INTERVAL_MS }: DeviceWatchOptions): { stop(): void } {
  let lookedAt = performance.now()
  let looking = false
  let failing = false
  const timer = setInterval(look, intervalMs)
  return { stop: () => clearInterval(timer) }

  async function look(): Promise<void> {
    if (looking) return
    looking = true
    try {
      await endRevoked()
      await sendErrors()
      failing = false
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'Revocations and words for devices could not be read; tried again')
      failing = true
    } finally {
      looking = false
    }
  }

  async function endRevoked(): Promise<void> {
    const now = performance.now()
    const seconds = (now - lookedAt) / 1000 + OVERLAP_SECONDS
    for (const incarnation of await recentlyRemoved(sql, seconds)) {
      broker.drop(incarnation, 'revoked')
      polls.drop(incarnation)
    }
    for (const { incarnation, tokenHash } of await recentlyChangedTokens(sql, seconds)) {
      broker.dropOtherTokens(incarnation, tokenHash)
      polls.drop(incarnation, tokenHash)
    }
    lookedAt = now
  }

  async function sendErrors(): Promise<void> {
    for (const { incarnation, body } of await takeDeviceErrors(sql, stream(), ERRORS_A_LOOK))
      broker.outgoing.say(incarnation, 'errors', body)
  }
}
