/**
 * The embedded MQTT 3.1.1 broker: aedes for the protocol, and nothing of aedes for messages. What comes up goes into the ingest log
 * inside `authorizePublish`, so that PUBACK and PUBREC leave after the commit; it is never routed to anybody. What goes down is written
 * to the connections that asked for it (outgoing.ts). Sessions hold nothing.
 */
import type { Socket } from 'node:net'
import { Aedes, type AuthenticateError, type Client, type Subscription } from 'aedes'
import type { Logger } from 'pino'
import { type Acceptor, MAX_PACKET } from '../../api/ingest/acceptor.ts'
import type { MessageKind } from '../../api/ingest/log.ts'
import { maySubscribe } from '../../api/mqtt/topics.ts'
import { type Admitted, createAdmission, type FindLogin, Refusal, within } from './admission.ts'
import { watchFrames } from './frames.ts'
import { BROKER_LIMITS, type BrokerLimits } from './limits.ts'
import { createOutgoing, type Outgoing } from './outgoing.ts'
import { sessionlessPersistence } from './persistence.ts'
import { type EndReason, endSession, newSession, type Session, Sessions, sweepSessions } from './session.ts'
import { createUplink } from './uplink.ts'
import { type Wanted, wantedBy } from './wanted.ts'

export interface BrokerOptions {
  acceptor: Acceptor
  findLogin: FindLogin
  log: Logger
  /** A device wants to hear all that is pending: it subscribed to that just now (SUBACK has left), or sent `get`. */
  onAsked?(incarnation: number, wanted: Wanted): void
  /** A connection has what was published on this topic below its device's. */
  onAcknowledged?(incarnation: number, subtopic: string): void
  limits?: Partial<BrokerLimits>
  /** How often connections are looked at whose messages wait. */
  sweepMs?: number
}

export interface MqttBroker {
  /** Takes over a new socket. */
  handle(socket: Socket): void
  readonly sessions: Sessions
  readonly outgoing: Outgoing
  /** Ends the device's connections. */
  drop(incarnation: number, reason: EndReason): void
  /** Ends those that logged in with another token. */
  dropOtherTokens(incarnation: number, tokenHash: Buffer): void
  /** Says in the log, anew, which connections live: after the stream that said so was closed. */
  announce(): void
  /** Takes no more messages, lets those under way be answered, ends all connections. */
  close(graceMs: number): Promise<void>
}

/** aedes routes nothing for us, not even its own notices: neither up messages nor $SYS ever meet a subscription. */
class UplinkAedes extends Aedes {
  override publish(_packet: unknown, clientOrDone: unknown, done?: (error?: Error) => void): void {
    if (done) done()
    else if (typeof clientOrDone === 'function') clientOrDone()
  }

  override subscribe(_topic: string, _deliver: unknown, done: () => void): void {
    done()
  }

  override unsubscribe(_topic: string, _deliver: unknown, done?: () => void): void {
    done?.()
  }
}

export async function createBroker(options: BrokerOptions): Promise<MqttBroker> {
  const { acceptor, log, onAsked = () => {}, onAcknowledged = () => {}, sweepMs = 500 } = options
  const limits = { ...BROKER_LIMITS, ...options.limits }
  const sessions = new Sessions(limits.connectionsPerDevice)
  const admission = createAdmission(options.findLogin, limits)
  const sessionOf = new WeakMap<Client, Session>()
  const outgoing = createOutgoing({ sessions, limits, onAcknowledged })
  const uplink = createUplink({ acceptor, limits, log, onGet: (session) => onAsked(session.incarnation, session.wanted) })

  const aedes = new UplinkAedes({
    persistence: sessionlessPersistence(
      (client) => sessionOf.get(client)?.received,
      (client, messageId) => {
        const session = sessionOf.get(client)
        if (session) outgoing.acknowledged(session, messageId)
      },
    ),
    connectTimeout: 10_000,
    queueLimit: 100,
    maxTopicLevels: 100,
    preConnect(client, packet, callback) {
      admission.prepare(client, packet, probe)
      callback(null, true)
    },
    authenticate(client, username, password, callback) {
      authenticate(client, username, password as Buffer | undefined).then(
        () => callback(null, true),
        (refusal: AuthenticateError) => callback(refusal, false),
      )
    },
    authorizePublish(client, packet, done) {
      const session = sessionOf.get(client!)
      if (!session) done(new Error('not connected'))
      else if (packet === probe) lose(session, done)
      else uplink.publish(session, packet, done)
    },
    authorizeSubscribe(client, subscription, callback) {
      callback(null, grant(client, subscription) ? subscription : null)
    },
  })
  await aedes.listen()
  aedes.on('subscribe', (subscriptions, client) => {
    const session = sessionOf.get(client)
    if (!session) return
    const granted = subscriptions.map(({ topic }) => topic).filter((topic) => session.filters.has(topic))
    session.wanted = wantedBy([...session.filters.keys()], session.prefix)
    onAsked(session.incarnation, wantedBy(granted, session.prefix))
  })
  aedes.on('unsubscribe', (topics, client) => {
    const session = sessionOf.get(client)
    if (!session) return
    for (const topic of topics) session.filters.delete(topic)
    session.wanted = wantedBy([...session.filters.keys()], session.prefix)
  })
  aedes.on('keepaliveTimeout', (client) => noteReason(client, 'keepalive'))
  aedes.on('clientError', (client, error) => {
    if (!(error as NodeJS.ErrnoException).code) noteReason(client, 'protocol')
    log.debug({ err: error }, 'An MQTT connection ended with an error')
  })
  aedes.on('connectionError', (_client, error) => log.debug({ err: error }, 'An MQTT connection ended before it was one'))
  const sweep = setInterval(() => sweepSessions(sessions, sweepMs), sweepMs)
  sweep.unref()

  return { handle, sessions, outgoing, drop, dropOtherTokens, announce, close }

  function handle(socket: Socket): void {
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    const client = aedes.handle(socket)
    watchFrames(socket, { first: limits.maxConnectBytes, max: MAX_PACKET }, (atLeast) => {
      acceptor.refused('mqtt', 'too-large')
      noteReason(client, 'protocol')
      socket.destroy(new Error(`a packet of ${atLeast} bytes or more`))
    })
  }

  async function authenticate(client: Client, username: string | undefined, password: Buffer | undefined): Promise<void> {
    try {
      if (uplink.stopped) throw new Refusal(3, 'unavailable', 'this bridge is stopping')
      const refusal = acceptor.refusal()
      if (refusal) throw new Refusal(3, refusal.code, refusal.message)
      const admitted = await admission.admit(client, username, password)
      await begin(client, admitted)
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(3, 'unavailable', 'the connection could not be noted')
      acceptor.refused('mqtt', `connect-${refusal.reason}`)
      log.debug({ err: error, username, returnCode: refusal.returnCode }, 'An MQTT connection was refused')
      throw refusal
    }
  }

  /** The connection is in the log before the device hears of it. */
  async function begin(client: Client, admitted: Admitted): Promise<void> {
    const session = newSession(client, admitted, limits)
    const { socket } = session
    if (socket.destroyed || uplink.stopped) throw new Refusal(3, 'gone', 'the connection ended meanwhile')
    sessionOf.set(client, session)
    sessions.add(session)
    socket.once('close', () => end(session))
    try {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      note(session, 'connect', connectBody(session), (error) => (error ? reject(error) : resolve()))
      await within(limits.loginTimeoutMs, promise)
    } catch (error) {
      session.reason ??= 'unavailable'
      throw error
    }
  }

  /** SUBACK follows in the same turn of the event loop, so nothing goes down before it. */
  function grant(client: Client, { topic, qos }: Subscription): boolean {
    const session = sessionOf.get(client)
    if (!session || !maySubscribe(topic, session.prefix)) return false
    if (session.filters.size >= limits.filters && !session.filters.has(topic)) return false
    session.filters.set(topic, qos)
    return true
  }

  function noteReason(client: Client, reason: EndReason): void {
    const session = sessionOf.get(client)
    if (session) session.reason ??= reason
  }

  function end(session: Session): void {
    sessions.remove(session)
    const reason = session.reason ?? (session.lost ? 'lost' : 'client')
    if (session.will && session.lost && WILL_REASONS.has(reason)) note(session, 'will', session.will.payload)
    note(session, 'disconnect', JSON.stringify({ reason }))
    // Told by its newest connection, a device with several is still there by an earlier one.
    const other = sessions.newest(session.incarnation)
    if (other && other.connection < session.connection) note(other, 'connect', connectBody(other))
  }

  function note(session: Session, kind: MessageKind, body: string | Buffer, done: (error?: Error) => void = () => {}): void {
    const payload = typeof body === 'string' ? Buffer.from(body) : body
    const { incarnation, connection } = session
    options.acceptor.note({ incarnation, kind, receivedAt: Date.now(), payload, size: payload.length, connection }, done)
  }

  function drop(incarnation: number, reason: EndReason): void {
    for (const session of sessions.of(incarnation)) endSession(session, reason)
  }

  function dropOtherTokens(incarnation: number, tokenHash: Buffer): void {
    for (const session of sessions.of(incarnation)) if (!session.tokenHash.equals(tokenHash)) endSession(session, 'revoked')
  }

  function announce(): void {
    for (const session of sessions.all()) if (session.reason === undefined) note(session, 'connect', connectBody(session))
  }

  async function close(graceMs: number): Promise<void> {
    uplink.stop()
    await until(() => [...sessions.all()].every((session) => session.blocked || session.pushed === session.settled), graceMs)
    clearInterval(sweep)
    for (const session of sessions.all()) endSession(session, 'shutdown')
    await new Promise<void>((resolve) => aedes.close(resolve))
    await until(() => sessions.count === 0, graceMs)
  }
}

/** aedes publishes the will of a connection that ended without DISCONNECT; ours are logged when the socket has closed. */
function lose(session: Session, done: (error: Error) => void): void {
  session.lost = true
  done(new Error('noted'))
}

/** A will is news of the device: not where we ended the connection for reasons of ours, or another one has taken its place. */
const WILL_REASONS: ReadonlySet<EndReason> = new Set(['lost', 'keepalive', 'protocol'])

/** Handed to aedes as everybody's will: that it publishes it tells an unclean end from a clean one. */
const probe = { cmd: 'publish' as const, topic: 'castor', payload: Buffer.alloc(0), qos: 0 as const, retain: false, dup: false }

function connectBody({ keepaliveSeconds }: Session): string {
  return JSON.stringify({ keepalive: keepaliveSeconds })
}

async function until(condition: () => boolean, atMostMs: number): Promise<void> {
  const end = performance.now() + atMostMs
  while (!condition() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
}
