/**
 * A bridge in miniature: group commit into the log of a stream of its own, heartbeats, connections. Commits of unknown outcome are tried
 * again with the same numbers; a stream that somebody closed is followed by a new one. (api/ingest/writer.ts does the same on real time.)
 */

import { encodeCommit } from '../../../api/ingest/commit.ts'
import type { Message, MessageKind } from '../../../api/ingest/log.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { closeStream, writeCommit } from './log-writes.ts'
import type { Trouble } from './trouble.ts'
import { type DownParts, WayDown } from './way-down.ts'
import type { Life, World } from './world.ts'

export interface Session {
  incarnation: number
  connection: number
  bridge: Bridge
  open: boolean
  will: string | undefined
  /** What goes down comes to the device by this, once it has subscribed. */
  hear: (subtopic: string, payload: string) => void
  subscribed: boolean
  /** Subtopics of what went down and has no PUBACK. */
  unacknowledged: Set<string>
  /** When the packet sent last arrives: later ones do not overtake it. */
  takesAt: number
}

export class Bridge {
  readonly name: string
  readonly life: Life = { alive: true }
  readonly sessions = new Set<Session>()
  readonly down: WayDown
  readonly #world: World
  readonly #db: MemoryDatabase
  readonly #trouble: Trouble
  #stream = 0
  #seq = 1
  #latest = 0
  #queue: Array<{ message: Message; done: () => void }> = []
  #beatAt = 0
  #stopping = false
  /** While it is suspended nothing of it happens: a long pause of its machine. */
  suspendedUntil = 0

  constructor(name: string, parts: DownParts) {
    const { world, db, trouble } = parts
    this.name = name
    this.#world = world
    this.#db = db
    this.#trouble = trouble
    this.down = new WayDown(this, parts)
    world.start(() => this.#run())
  }

  get accepts(): boolean {
    return this.life.alive && !this.#stopping
  }

  /** Resolves when the message is durable; never when the bridge died before it could say so. */
  push(incarnation: number, kind: MessageKind, payload: string, more: Partial<Message> = {}): Promise<void> {
    const bytes = Buffer.from(payload)
    this.#latest = Math.max(this.#latest, this.#world.now)
    const message: Message = { incarnation, kind, receivedAt: this.#latest, payload: bytes, size: bytes.length, ...more }
    const done = (): void => {
      if (kind === 'get') this.down.asked(incarnation)
    }
    return new Promise((resolve) => this.#queue.push({ message, done: () => resolve(done()) }))
  }

  /** Resolves when CONNACK would leave. */
  async connect(incarnation: number, connection: number, will: string | undefined, hear: Session['hear']): Promise<Session> {
    const down = { hear, subscribed: false, unacknowledged: new Set<string>(), takesAt: 0 }
    const session: Session = { incarnation, connection, bridge: this, open: true, will, ...down }
    this.sessions.add(session)
    await this.push(incarnation, 'connect', '{"keepalive":60}', { connection })
    return session
  }

  subscribe(session: Session): void {
    if (!session.open) return
    session.subscribed = true
    this.down.asked(session.incarnation)
  }

  /** `lost`: without DISCONNECT, so the will counts. */
  end(session: Session, lost: boolean): void {
    if (!session.open) return
    session.open = false
    this.sessions.delete(session)
    if (!this.life.alive) return
    const { incarnation, connection, will } = session
    if (lost && will !== undefined) void this.push(incarnation, 'will', will, { connection })
    void this.push(incarnation, 'disconnect', '{}', { connection })
  }

  kill(): void {
    this.#world.note(`${this.name} dies`)
    this.life.alive = false
    for (const session of this.sessions) session.open = false
    this.sessions.clear()
  }

  /** Says goodbye to all connections, writes what waits, closes its stream. */
  async stop(): Promise<void> {
    this.#world.note(`${this.name} stops in order`)
    this.#stopping = true
    this.down.stop()
    for (const session of [...this.sessions]) this.end(session, false)
  }

  async #run(): Promise<void> {
    await this.#pause(0)
    this.#stream = this.#db.openStream()
    this.#latest = this.#world.now
    while (this.life.alive) {
      await this.#commit()
      if (this.#stopping && this.#queue.length === 0) {
        closeStream(this.#db, this.#stream)
        this.life.alive = false
        return
      }
      const beatIn = Math.max(0, this.#beatAt - this.#world.now)
      await this.#pause(this.#queue.length > 0 ? 5 : Math.min(beatIn, this.#world.between(20, 400)))
    }
  }

  async #commit(): Promise<void> {
    const taken = this.#queue
    const beat = this.#world.now >= this.#beatAt
    if (taken.length === 0 && !beat) return
    if (beat) this.#beatAt = this.#world.now + 1000
    this.#queue = []
    this.#latest = Math.max(this.#latest, this.#world.now)
    const messages = taken.map(({ message }) => message)
    const commit = encodeCommit(this.#stream, this.#seq, this.#latest, messages, beat)
    for (;;) {
      const outcome = await this.#trouble.unsure(`${this.name} commits ${this.#stream}/${commit.seq}`, this.life, () =>
        writeCommit(this.#db, commit),
      )
      if (outcome === 'written') break
      if (outcome === 'closed') {
        commit.stream = this.#stream = this.#db.openStream()
        commit.seq = 1
        this.#world.note(`${this.name} goes on in stream ${this.#stream}`)
        for (const { incarnation, connection } of this.sessions) void this.push(incarnation, 'connect', '{"keepalive":60}', { connection })
      }
      await this.#pause(50)
    }
    this.#seq = commit.seq + commit.lanes.length
    for (const { done } of taken) done()
  }

  async #pause(ms: number): Promise<void> {
    await this.#world.sleep(Math.max(ms, this.suspendedUntil - this.#world.now), this.name, this.life)
    if (this.suspendedUntil > this.#world.now) await this.#pause(0)
  }
}
