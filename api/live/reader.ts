/**
 * One open `GET /v1/stream`. It is pulled: `next` is asked for when the socket has taken what came before, so a slow reader is pressed back
 * and holds nothing but its place. While that is in memory it reads there; pushed out of it, it reads on from Postgres (replay.ts).
 */
import type { LiveFilter } from './filters.ts'
import { heartbeatText, type LiveType } from './live-event.ts'
import { type Position, parsePosition } from './position.ts'
import { bytesFor, type Ring, type RingItem } from './ring.ts'

export interface Wants {
  tenant: string
  types: ReadonlySet<LiveType>
  device: string | undefined
  filter: LiveFilter | undefined
}

/** What a reader needs of the whole. */
export interface Surroundings {
  ring: Ring
  /** Position behind the newest item. */
  headId(full: boolean): string
  /** The next of what is no longer in memory; undefined: none was wanted so far, go on. */
  replay(reader: LiveReader): Promise<Buffer | undefined>
  sent(item: RingItem): void
}

/** What is given at once, unless one event alone is larger. */
export const CHUNK_BYTES = 64 * 1024

export class LiveReader {
  readonly wants: Wants
  /** It reads the ingest log, too. */
  readonly full: boolean
  readonly #around: Surroundings
  /** Place in memory; null: behind it. */
  #cursor: number | null
  #id: string
  #waiting: ((bytes: Buffer | undefined | Promise<Buffer | undefined>) => void) | undefined
  #ended = false
  /** Of this time of being behind, for the twins that it looks at meanwhile. */
  scope = 0
  /** performance.now() of the last bytes given. */
  gaveAt = performance.now()
  /** It was asked for something. */
  started = false

  /** `from`: behind, at this position; else from now on. */
  constructor(wants: Wants, around: Surroundings, from: string | undefined) {
    this.wants = wants
    this.#around = around
    this.full = wants.types.has('reading')
    this.#cursor = from === undefined ? around.ring.end : null
    this.#id = from ?? around.headId(this.full)
  }

  get ended(): boolean {
    return this.#ended
  }

  get behind(): boolean {
    return this.#cursor === null || this.#cursor < this.#around.ring.first
  }

  /** Its socket takes nothing. */
  get stuck(): boolean {
    return this.#waiting === undefined
  }

  get id(): string {
    return this.#id
  }

  get position(): Position {
    return parsePosition(this.#id)
  }

  /** Behind memory it has come so far. */
  moveTo(id: string): void {
    this.#id = id
  }

  /** It has caught up with memory. */
  joinAt(cursor: number, id: string): void {
    this.#cursor = cursor
    this.#id = id
    this.scope = 0
  }

  /** Undefined: it has ended. */
  async next(): Promise<Buffer | undefined> {
    this.started = true
    while (!this.#ended) {
      if (this.behind) {
        this.#cursor = null
        const bytes = await this.#around.replay(this)
        if (bytes) return this.#give(bytes)
        continue
      }
      const bytes = this.#take()
      if (bytes) return this.#give(bytes)
      return new Promise((resolve) => {
        this.#waiting = resolve
      })
    }
    return undefined
  }

  /** There are new items. Called right after each batch of them, so that who waits is never pushed out. */
  offer(): void {
    if (!this.#waiting) return
    const bytes = this.behind ? this.next() : this.#take()
    if (bytes) this.#answer(bytes)
  }

  /** When nothing was given for so long: a sign of life, and the id to come back with. */
  beat(now: number, everyMs: number): void {
    if (!this.#waiting || now - this.gaveAt < everyMs) return
    this.#answer(Buffer.from(heartbeatText(this.#id)))
  }

  end(): void {
    this.#ended = true
    this.#answer(undefined)
  }

  #answer(bytes: Buffer | undefined | Promise<Buffer | undefined>): void {
    const resolve = this.#waiting
    this.#waiting = undefined
    this.gaveAt = performance.now()
    resolve?.(bytes)
  }

  #give(bytes: Buffer): Buffer {
    this.gaveAt = performance.now()
    return bytes
  }

  #take(): Buffer | undefined {
    const { ring } = this.#around
    const parts: Buffer[] = []
    let size = 0
    while (this.#cursor! < ring.end && size < CHUNK_BYTES) {
      const item = ring.at(this.#cursor!++)
      if (isWanted(item, this.wants)) {
        const bytes = bytesFor(item, this.full)
        parts.push(bytes)
        size += bytes.length
        this.#around.sent(item)
      }
      this.#id = this.full ? item.fullId! : item.eventsId
    }
    if (this.#cursor === ring.end) this.#id = this.#around.headId(this.full)
    if (parts.length === 0) return undefined
    return parts.length === 1 ? parts[0] : Buffer.concat(parts)
  }
}

function isWanted({ event, gap, met }: RingItem, { tenant, types, device, filter }: Wants): boolean {
  if (event === undefined) return gap!.of === 'readings' ? types.has('reading') : hasEvents(types)
  if (event.tenant !== tenant || !types.has(event.type)) return false
  if (device !== undefined && event.device !== device) return false
  return filter === undefined || met?.has(filter) === true
}

/** It wants something out of the outbox. */
export function hasEvents(types: ReadonlySet<LiveType>): boolean {
  return types.size > (types.has('reading') ? 1 : 0)
}
