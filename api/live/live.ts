/**
 * The live stream (docs/live.md): what was decided and noticed, and readings, as server-sent events to many readers.
 *
 *   outbox by position ──┐                              ┌─ reader: its place, nothing else
 *                        ├─► newest events, in memory ──┼─ reader
 *   ingest log by seq ───┘   once for all readers       └─ reader, pushed out or come back: from Postgres until it has caught up
 *
 * It works only while there are readers, reads the log only while one wants readings, and asks each filter once an event.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import { CastorError } from '../../twin-models/errors.ts'
import type { Models } from '../ports.ts'
import { LiveDevices } from './devices.ts'
import { Documents } from './documents.ts'
import { Filters } from './filters.ts'
import type { Gap, LiveEvent, LiveType } from './live-event.ts'
import { type End, LIVE_LIMITS, type Live, type LiveLimits, type LiveRequest, type LiveStream } from './live-request.ts'
import { Newest } from './newest.ts'
import { Pages } from './pages.ts'
import { Places } from './places.ts'
import type { LiveStore } from './ports.ts'
import { parsePosition } from './position.ts'
import { LiveReader, type Surroundings } from './reader.ts'
import { replay } from './replay.ts'
import { Ring } from './ring.ts'
import { Slots } from './slots.ts'

const REPLAYS_AT_ONCE = 4
const TWINS = { newest: 10_000, replays: 5_000 }
const ROUND_MS = 1_000
/** A stream of which nothing was ever taken: of a HEAD request, say. */
const NEVER_READ_MS = 10_000
/** As long as another process may be ahead of this one. */
const CATCH_UP_MS = 5_000
const REPLAY_AGAIN_MS = 1_000
/** A comment: it keeps the connection. */
const WAITING_TEXT = ':\n\n'

export interface LiveOptions {
  store: LiveStore
  models: Models
  log: Logger
  limits?: Partial<LiveLimits>
  now?: () => number
  /** How long ago events happened when they were offered to readers: the oldest of each time. */
  onOffered?: (ageMs: number) => void
}

/** One that is open. */
interface Open {
  reader: LiveReader
  credential: LiveRequest['credential']
  close(how?: End): void
}

export class LiveStreams implements Live {
  readonly #limits: LiveLimits
  readonly #log: Logger
  readonly #filters = new Filters()
  readonly #newest: Newest
  readonly #open = new Set<Open>()
  readonly #around: Surroundings
  readonly #timer: NodeJS.Timeout
  readonly #forgetPast: () => void
  readonly #places: Places
  #stopped = false
  #credentialsAt = performance.now()
  /** In all, by type. */
  readonly sent = new Map<LiveType, number>()
  gaps = 0

  constructor({ store, models, log, limits, now = Date.now, onOffered = () => {} }: LiveOptions) {
    this.#limits = { ...LIVE_LIMITS, ...limits }
    this.#log = log
    this.#places = new Places(this.#limits.readers, this.#limits.readersOfOne)
    const ring = new Ring(this.#limits.ring)
    const devices = new LiveDevices(store, models)
    this.#newest = new Newest({
      ...{ store, ring, devices, filters: this.#filters, log, now, onOffered },
      documents: new Documents(store, models, TWINS.newest),
      readers: () => [...this.#open].map(({ reader }) => reader),
    })
    const [pages, documents] = [new Pages(store, devices), new Documents(store, models, TWINS.replays)]
    const replays = {
      ...{ store, now, pages, documents, slots: new Slots(REPLAYS_AT_ONCE) },
      target: () => this.#newest.intake.target(),
      sent: (what: LiveEvent | Gap) => this.#sent(what),
    }
    this.#forgetPast = () => {
      pages.clear()
      documents.clear()
    }
    this.#around = {
      ring,
      headId: (full) => this.#newest.intake.headId(full),
      sent: ({ event, gap }) => this.#sent(event ?? gap!),
      replay: (reader) => this.#patiently(() => replay(reader, replays)),
    }
    this.#timer = setInterval(() => this.#round(), ROUND_MS)
    this.#timer.unref()
  }

  get readers(): number {
    return this.#open.size
  }

  get behind(): number {
    return [...this.#open].filter(({ reader }) => reader.behind).length
  }

  async open({ tenant, types, device, filter: asked, lastEventId, credential }: LiveRequest): Promise<LiveStream> {
    const from = lastEventId === undefined ? undefined : parsePosition(lastEventId)
    const filter = asked && this.#filters.take(tenant, asked.text, asked.tree)
    const giveBack: Array<() => void> = filter ? [() => this.#filters.drop(filter)] : []
    const ended = Promise.withResolvers<End>()
    try {
      giveBack.push(this.#places.take(credential.id))
      const full = types.has('reading')
      const release = await this.#newest.hold(full)
      try {
        if (from) await this.#newest.reach(from, CATCH_UP_MS)
        if (this.#stopped) throw stopping()
      } finally {
        release()
      }
    } catch (error) {
      for (const give of giveBack) give()
      throw error
    }
    const reader = new LiveReader({ tenant, types, device, filter }, this.#around, lastEventId)
    const open: Open = {
      reader,
      credential,
      close: (how = 'closed') => {
        if (!this.#open.delete(open)) return
        reader.end()
        for (const give of giveBack) give()
        ended.resolve(how)
        if (this.#open.size === 0) this.#forgetPast()
      },
    }
    this.#open.add(open)
    return { next: () => reader.next(), close: () => open.close(), ended: ended.promise }
  }

  /** Ends all of them, at once. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    for (const open of [...this.#open]) open.close()
    await this.#newest.stop()
  }

  /** While Postgres does not answer a reader waits, and is told only that we live. */
  async #patiently(read: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
    try {
      return await read()
    } catch (error) {
      this.#log.warn({ err: error }, 'A live stream could not read what it missed and tries again')
      await pause(REPLAY_AGAIN_MS)
      return Buffer.from(WAITING_TEXT)
    }
  }

  #round(): void {
    const now = performance.now()
    const { heartbeatMs, stuckMs, credentialMs } = this.#limits
    for (const open of [...this.#open]) {
      open.reader.beat(now, heartbeatMs)
      const patienceMs = open.reader.started ? stuckMs : Math.min(stuckMs, NEVER_READ_MS)
      if (open.reader.stuck && now - open.reader.gaveAt > patienceMs) open.close('stuck')
    }
    if (now - this.#credentialsAt < credentialMs) return
    this.#credentialsAt = now
    void this.#checkCredentials()
  }

  /** A key that was replaced ends its streams. While nobody can say, they stay: then there is nothing to show either. */
  async #checkCredentials(): Promise<void> {
    const byId = Map.groupBy(this.#open, ({ credential }) => credential.id)
    for (const opens of byId.values()) {
      const valid = await opens[0]!.credential.isValid().catch(() => true)
      if (!valid) for (const open of opens) open.close()
    }
  }

  #sent(what: LiveEvent | Gap): void {
    if ('of' in what) this.gaps++
    else this.sent.set(what.type, (this.sent.get(what.type) ?? 0) + 1)
  }
}

function stopping(): CastorError {
  return new CastorError('unavailable', 'This process is stopping. Try again shortly.', { retryAfterSeconds: 2 })
}
