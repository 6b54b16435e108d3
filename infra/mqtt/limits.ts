/** The bounds of the broker (docs/architecture.md §3.13). Each is far from what an honest device needs. */
import type { AdmissionLimits } from './admission.ts'

export interface BrokerLimits extends AdmissionLimits {
  connectionsPerDevice: number
  filters: number
  /** Of one connection, waiting for their commit. */
  messagesInFlight: number
  bytesInFlight: number
  /** Bytes of CONNECT. */
  maxConnectBytes: number
  /** The longest that a message waits for its commit; never more than half the keepalive. */
  maxPatienceMs: number
  /** What may wait on its way down to one connection; beyond, words on `errors` are left out, and all else waits in Postgres. */
  maxDownBytes: number
  /** Packets of one connection that wait for the device's PUBACK; beyond, what is pending waits in Postgres. */
  unacknowledgedDown: number
}

export const BROKER_LIMITS: BrokerLimits = {
  logins: 2000,
  connectsPerSecond: 2000,
  connectBurst: 5000,
  loginTimeoutMs: 5000,
  maxKeepaliveSeconds: 1200,
  maxWillBytes: 4096,
  connectionsPerDevice: 4,
  filters: 32,
  messagesInFlight: 10_000,
  bytesInFlight: 8 * 2 ** 20,
  maxConnectBytes: 16 * 1024,
  maxPatienceMs: 60_000,
  maxDownBytes: 64 * 1024,
  unacknowledgedDown: 100,
}
