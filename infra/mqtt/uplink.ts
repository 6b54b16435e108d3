/**
 * The way of a PUBLISH from aedes into the log and of its answer back.
 *
 * Order of PUBACKs (MQTT-4.6.0-2): the log answers in the order in which it was asked, so they leave in order by themselves; what is
 * answered without the log (a repeated QoS 2 message) waits behind what came before it. A message that is refused stays without an
 * answer, and so does all that follows it on its connection, until the sweep closes that.
 */
import type { Socket } from 'node:net'
import type { PublishPacket } from 'aedes'
import type { Logger } from 'pino'
import { type Acceptor, keep } from '../../api/ingest/acceptor.ts'
import type { Message } from '../../api/ingest/log.ts'
import { uplinkOf } from '../../api/mqtt/topics.ts'
import type { BrokerLimits } from './limits.ts'
import type { Session } from './session.ts'

export interface UplinkOptions {
  acceptor: Acceptor
  limits: BrokerLimits
  log: Logger
  /** The device asks for what is pending; the message is in the log. */
  onGet(session: Session): void
}

/** Answers the packet; with an error the connection is closed. Not called: no answer. */
export type PublishDone = (error?: Error | null) => void

export interface Uplink {
  publish(session: Session, packet: PublishPacket, done: PublishDone): void
  /** Takes no more messages. */
  stop(): void
  readonly stopped: boolean
}

export function createUplink({ acceptor, limits, log, onGet }: UplinkOptions): Uplink {
  let stopped = false
  const seldom = atMost(10, 60_000)
  return {
    publish,
    stop() {
      stopped = true
    },
    get stopped() {
      return stopped
    },
  }

  function publish(session: Session, packet: PublishPacket, done: PublishDone): void {
    if (packet.topic !== session.topic) {
      session.uplink = uplinkOf(packet.topic, session.prefix)
      session.topic = packet.topic
    }
    if (!session.uplink) breach(session, 'topic', `may not publish on ${JSON.stringify(packet.topic.slice(0, 200))}`, done)
    else if (packet.qos === 2 && session.received.has(packet.messageId!)) answerInOrder(session, done)
    else if (session.blocked || stopped) refuse(session, packet.qos, done)
    else append(session, packet, done)
  }

  function append(session: Session, packet: PublishPacket, done: PublishDone): void {
    const message = messageOf(session, packet)
    const { length } = message.payload
    if (!hasRoom(session, length)) {
      breach(session, 'in-flight', 'has too much in flight', done)
      return
    }
    if (packet.qos === 2) session.received.add(packet.messageId!)
    session.pushed++
    session.inFlightBytes += length
    acceptor.accept(message, 'mqtt', (error) => {
      session.settled++
      session.inFlightBytes -= length
      if (error || session.blocked) refuse(session, packet.qos, done)
      else answer(session, packet, done)
      if (!error && message.kind === 'get') onGet(session)
      if (session.after.length > 0) releaseAfter(session)
    })
  }

  /** MQTT 3.1.1 has no negative PUBACK: what breaks rights ends the connection. */
  function breach(session: Session, reason: string, what: string, done: PublishDone): void {
    acceptor.refused('mqtt', reason)
    if (seldom()) log.info({ tenant: session.tenant, device: session.device }, `A device ${what}; its connection is closed`)
    session.reason ??= 'protocol'
    done(new Error(what))
  }

  function hasRoom(session: Session, bytes: number): boolean {
    return session.pushed - session.settled < limits.messagesInFlight && session.inFlightBytes + bytes <= limits.bytesInFlight
  }
}

function messageOf(session: Session, packet: PublishPacket): Message {
  const { incarnation, connection } = session
  const { kind, name, contentType } = session.uplink!
  const { payload, size } = keep(packet.payload as Buffer)
  const message: Message = { incarnation, kind, receivedAt: Date.now(), payload, size, connection }
  if (name !== undefined) message.name = name
  if (contentType !== undefined) message.contentType = contentType
  return message
}

/**
 * PUBACK is written here, and aedes is told that there is nothing to answer: its own way makes four small writes and two turns of the
 * event loop of it, a third of the bridge. Several for one socket in one commit leave together. A socket that does not take its answers
 * goes aedes' way, which reads no more from it until it does.
 */
function answer(session: Session, packet: PublishPacket, done: PublishDone): void {
  const { socket } = session
  if (packet.qos === 1 && socket.writableLength < MAX_UNREAD_ANSWERS) {
    if (session.settled < session.pushed && socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(uncork, socket)
    }
    const id = packet.messageId!
    socket.write(Buffer.from([0x40, 2, id >> 8, id & 255]))
    packet.qos = 0
  }
  done()
}

const MAX_UNREAD_ANSWERS = 16 * 1024

function uncork(socket: Socket): void {
  socket.uncork()
}

/** QoS 0 is lost, as it may be. */
function refuse(session: Session, qos: number, done: PublishDone): void {
  if (qos === 0) done()
  else session.blocked = true
}

function answerInOrder(session: Session, done: PublishDone): void {
  if (session.blocked) return
  if (session.settled === session.pushed) done()
  else session.after.push({ pushed: session.pushed, done })
}

function releaseAfter(session: Session): void {
  while (!session.blocked && session.after.length > 0 && session.after[0]!.pushed <= session.settled) session.after.shift()!.done()
}

/** True so many times in so long: whoever breaks rules must not fill the log. */
function atMost(times: number, milliseconds: number): () => boolean {
  let left = times
  let since = performance.now()
  return () => {
    if (performance.now() - since > milliseconds) {
      left = times
      since = performance.now()
    }
    return left-- > 0
  }
}
