/**
 * What goes down to the connections of devices: to those that subscribed to it, and only after SUBACK.
 *
 * QoS 1 is written here and not by aedes, whose way down goes by subscriptions and a store: a packet, its id, and what waits for PUBACK
 * are all there is to it. What waits is known only while the connection lives; Postgres knows what to send again.
 */
import { filterCovers } from '../../api/mqtt/topics.ts'
import type { BrokerLimits } from './limits.ts'
import type { Session, Sessions } from './session.ts'
import { isNothingWanted, type Wanted, wantedTogether } from './wanted.ts'

export interface Outgoing {
  /** Undefined: it has no connection that wants anything. `full`: its connections take no more at the moment. */
  wanted(incarnation: number): Wanted | 'full' | undefined
  /**
   * QoS 1, below castor/v1/{tenant}/{device}/: to all of the device's connections that want it, to the newest of them, or to those that
   * have not been sent the same before. False: to none.
   */
  publish(incarnation: number, subtopic: string, payload: string, to: 'all' | 'newest' | 'new'): boolean
  /** QoS 0. */
  say(incarnation: number, subtopic: string, payload: string): void
  /** PUBACK came. */
  acknowledged(session: Session, messageId: number): void
}

export interface OutgoingOptions {
  sessions: Sessions
  limits: BrokerLimits
  /** A connection has it: PUBACK came, or it is subscribed with QoS 0, which has none. */
  onAcknowledged(incarnation: number, subtopic: string): void
}

export function createOutgoing({ sessions, limits, onAcknowledged }: OutgoingOptions): Outgoing {
  return { wanted, publish, say, acknowledged }

  function wanted(incarnation: number): Wanted | 'full' | undefined {
    let found: Wanted | 'full' | undefined
    for (const session of living(incarnation)) {
      if (isNothingWanted(session.wanted)) continue
      if (hasRoom(session)) found = found === undefined || found === 'full' ? session.wanted : wantedTogether(session.wanted, found)
      else found ??= 'full'
    }
    return found
  }

  function publish(incarnation: number, subtopic: string, payload: string, to: 'all' | 'newest' | 'new'): boolean {
    const wanting = living(incarnation)
      .filter(({ unacknowledged }) => to !== 'new' || ![...unacknowledged.values()].includes(subtopic))
      .map((session) => ({ session, qos: qosOf(session, subtopic) }))
      .filter(({ qos }) => qos !== undefined)
      .sort((a, b) => b.session.connection - a.session.connection)
    // What was claimed is sent, even if what was sent just before it has filled them all.
    const roomy = wanting.filter(({ session }) => hasRoom(session))
    const chosen = roomy.length > 0 ? roomy : wanting
    for (const { session, qos } of to === 'newest' ? chosen.slice(0, 1) : chosen) {
      if (qos! > 0) writeQos1(session, subtopic, payload)
      else {
        writeQos0(session, subtopic, payload)
        onAcknowledged(incarnation, subtopic)
      }
    }
    return chosen.length > 0
  }

  function say(incarnation: number, subtopic: string, payload: string): void {
    for (const session of living(incarnation))
      if (qosOf(session, subtopic) !== undefined && session.socket.writableLength <= limits.maxDownBytes)
        writeQos0(session, subtopic, payload)
  }

  function acknowledged(session: Session, messageId: number): void {
    const subtopic = session.unacknowledged.get(messageId)
    if (subtopic === undefined) return
    session.unacknowledged.delete(messageId)
    onAcknowledged(session.incarnation, subtopic)
  }

  function living(incarnation: number): Session[] {
    return [...sessions.of(incarnation)].filter(({ reason, socket }) => reason === undefined && !socket.destroyed)
  }

  function hasRoom({ socket, unacknowledged }: Session): boolean {
    return socket.writableLength <= limits.maxDownBytes && unacknowledged.size < limits.unacknowledgedDown
  }
}

/** The best that it subscribed with; undefined: not at all. */
function qosOf({ prefix, filters }: Session, subtopic: string): number | undefined {
  let best: number | undefined
  for (const [filter, qos] of filters) if (filterCovers(filter, prefix + subtopic)) best = Math.max(best ?? 0, qos)
  return best
}

function writeQos0({ client, prefix }: Session, subtopic: string, payload: string): void {
  client.publish({ cmd: 'publish', topic: prefix + subtopic, payload: Buffer.from(payload), qos: 0, dup: false, retain: false }, () => {})
}

function writeQos1(session: Session, subtopic: string, payload: string): void {
  do session.lastId = (session.lastId % 65_535) + 1
  while (session.unacknowledged.has(session.lastId))
  session.unacknowledged.set(session.lastId, subtopic)
  session.socket.write(publishPacket(session.prefix + subtopic, payload, session.lastId))
}

/** MQTT 3.1.1 §3.3, QoS 1, neither DUP nor RETAIN. */
export function publishPacket(topicText: string, text: string, messageId: number): Buffer {
  const topic = Buffer.from(topicText)
  const payload = Buffer.from(text)
  const length: number[] = []
  for (let rest = 2 + topic.length + 2 + payload.length; rest > 0 || length.length === 0; rest = Math.floor(rest / 128))
    length.push(rest >= 128 ? (rest % 128) | 128 : rest)
  const head = Buffer.from([0x32, ...length, topic.length >> 8, topic.length & 255])
  return Buffer.concat([head, topic, Buffer.from([messageId >> 8, messageId & 255]), payload])
}
