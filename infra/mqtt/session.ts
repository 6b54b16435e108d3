/**
 * One authenticated MQTT connection, and the set of those that live on this bridge. aedes knows connections by serial numbers that we
 * give it; who takes over from whom is decided here, by (device, client id), so that a client id means nothing to other devices.
 */
import type { Socket } from 'node:net'
import type { Client } from 'aedes'
import { topicPrefix, type Uplink } from '../../api/mqtt/topics.ts'
import type { Admitted } from './admission.ts'
import type { BrokerLimits } from './limits.ts'
import { NOTHING_WANTED, type Wanted } from './wanted.ts'

/** Why a connection ended; stands in the `disconnect` message. */
export type EndReason =
  | 'client' // DISCONNECT
  | 'lost' // the socket ended without one
  | 'keepalive'
  | 'takeover' // the same client connected again, or the device has too many connections
  | 'protocol' // a breach of MQTT or of rights
  | 'revoked' // deleted, or another token
  | 'unavailable' // messages could not be stored in time
  | 'shutdown'

export interface Will {
  payload: Buffer
}

export interface Session {
  readonly client: Client
  readonly socket: Socket
  readonly tenant: string
  readonly device: string
  readonly incarnation: number
  readonly tokenHash: Buffer
  /** Later connections have higher numbers. */
  readonly connection: number
  readonly clientId: string
  /** castor/v1/{tenant}/{device}/ */
  readonly prefix: string
  readonly keepaliveSeconds: number
  readonly will: Will | undefined
  /** How long a message may wait for its commit before the connection is closed. */
  readonly patienceMs: number
  /** Filters that were granted, with their QoS. */
  readonly filters: Map<string, number>
  /** What they cover. */
  wanted: Wanted
  /** What went down with QoS 1 and has no PUBACK: the topic below `prefix`, by packet id. */
  readonly unacknowledged: Map<number, string>
  /** The packet id given last. */
  lastId: number
  /** Ids of QoS 2 messages that are in the log, until PUBREL. */
  readonly received: Set<number>
  /** Topic of the last message: most devices use one. */
  topic: string
  uplink: Uplink | undefined
  /** Messages handed to the log, and those answered by it. */
  pushed: number
  settled: number
  inFlightBytes: number
  /** A message was refused: neither it nor a later one may be acknowledged (MQTT-4.6.0-2). */
  blocked: boolean
  /** Answers that wait for those of earlier messages. */
  readonly after: Array<{ pushed: number; done: () => void }>
  /** For the sweep: `settled` when it last changed, and for how long it has not. */
  sweptSettled: number
  stuckMs: number
  /** The socket ended without DISCONNECT. */
  lost: boolean
  /** Set by whoever ends it. */
  reason: EndReason | undefined
}

/** Of a connection that was just admitted. */
export function newSession(client: Client, admitted: Admitted, limits: BrokerLimits): Session {
  const { tenant, device, incarnation, tokenHash, connection, request } = admitted
  const { clientId, keepaliveSeconds, will } = request
  // Spread, so that a fleet does not come back at one moment.
  const patienceMs = Math.min(keepaliveSeconds * 500, limits.maxPatienceMs) * (0.6 + Math.random() * 0.35)
  return {
    client,
    socket: client.conn as Socket,
    tenant,
    device,
    incarnation,
    tokenHash,
    connection,
    clientId,
    prefix: topicPrefix(tenant, device),
    keepaliveSeconds,
    will: will && { payload: will.payload },
    patienceMs,
    filters: new Map(),
    wanted: NOTHING_WANTED,
    unacknowledged: new Map(),
    lastId: 0,
    received: new Set(),
    topic: '',
    uplink: undefined,
    pushed: 0,
    settled: 0,
    inFlightBytes: 0,
    blocked: false,
    after: [],
    sweptSettled: 0,
    stuckMs: 0,
    lost: false,
    reason: undefined,
  }
}

export function endSession(session: Session, reason: EndReason): void {
  session.reason ??= reason
  session.client.close()
}

/** The live sessions of one bridge. */
export class Sessions {
  readonly #byClient = new Map<string, Session>()
  readonly #byDevice = new Map<number, Set<Session>>()
  readonly #perDevice: number
  #count = 0

  constructor(perDevice: number) {
    this.#perDevice = perDevice
  }

  get count(): number {
    return this.#count
  }

  /** Ends the session that has the same client id, and the oldest of a device that has too many. */
  add(session: Session): void {
    const key = keyOf(session)
    const earlier = this.#byClient.get(key)
    if (earlier) endSession(earlier, 'takeover')
    this.#byClient.set(key, session)
    const ofDevice = this.#byDevice.get(session.incarnation) ?? new Set()
    this.#byDevice.set(session.incarnation, ofDevice)
    const living = [...ofDevice].filter((other) => other.reason === undefined)
    if (living.length >= this.#perDevice) endSession(living[0]!, 'takeover')
    ofDevice.add(session)
    this.#count++
  }

  remove(session: Session): void {
    const key = keyOf(session)
    if (this.#byClient.get(key) === session) this.#byClient.delete(key)
    const ofDevice = this.#byDevice.get(session.incarnation)
    if (!ofDevice?.delete(session)) return
    if (ofDevice.size === 0) this.#byDevice.delete(session.incarnation)
    this.#count--
  }

  of(incarnation: number): Iterable<Session> {
    return this.#byDevice.get(incarnation) ?? []
  }

  /** Of the device's connections that are not about to end, the one with the highest number. */
  newest(incarnation: number): Session | undefined {
    let newest: Session | undefined
    for (const session of this.of(incarnation)) {
      if (session.reason === undefined && session.connection > (newest?.connection ?? 0)) newest = session
    }
    return newest
  }

  *all(): Iterable<Session> {
    for (const ofDevice of this.#byDevice.values()) yield* ofDevice
  }

  incarnations(): number[] {
    return [...this.#byDevice.keys()]
  }
}

/** Closes connections whose messages have waited too long for their commit. */
export function sweepSessions(sessions: Sessions, elapsedMs: number): void {
  for (const session of sessions.all()) {
    const progress = session.settled !== session.sweptSettled || session.settled === session.pushed
    session.sweptSettled = session.settled
    session.stuckMs = progress && !session.blocked ? 0 : session.stuckMs + elapsedMs
    if (session.stuckMs >= session.patienceMs) endSession(session, 'unavailable')
  }
}

function keyOf({ incarnation, clientId }: Session): string {
  return `${incarnation} ${clientId}`
}
