/** One source of the past, in order, from a place to an end: the outbox, or one stream of the ingest log. It notices what is no longer kept. */
import { type Gap, isReading, type LiveEvent } from './live-event.ts'
import type { Page } from './pages.ts'

export interface PastOptions {
  of: Gap['of']
  /** All up to this number was read; of the log, `messages` of the entry after it, too. */
  after: number
  messages?: number
  upTo: number
  /** When `after` was; for telling since when something is missing. */
  since: number
  page(after: number, upTo: number): Promise<Page>
  /** The first number that is kept above `after`. */
  next(after: number): Promise<{ number: number; at: number } | undefined>
  now(): number
}

export class Past {
  readonly #options: PastOptions
  /** All up to this was given, or is of no concern. */
  done: number
  /** Of the entry after it. */
  messages: number
  gap: Gap | undefined
  #events: LiveEvent[] = []
  #next = 0
  /** What `#events` reaches. */
  #read: number

  constructor(options: PastOptions) {
    this.#options = options
    this.done = options.after
    this.#read = options.after
    this.messages = options.messages ?? 0
    // From a number that was never given: of another database, or an older state of this one.
    if (options.after > options.upTo) this.gap = { of: options.of, from: options.since, to: options.now() }
    if (options.after > options.upTo) this.#jump(options.upTo)
  }

  get ended(): boolean {
    return this.done >= this.#options.upTo && this.#next >= this.#events.length
  }

  /** The next event, which stays the next until `take`. Undefined: none in the pages read so far; `ended` says whether there is more. */
  peek(): LiveEvent | undefined {
    return this.#events[this.#next]
  }

  take(): void {
    const { from } = this.#events[this.#next++]!
    if (isReading(from)) {
      this.done = from.seq - 1
      this.messages = from.index + 1
    } else this.done = from.position
    if (this.#next >= this.#events.length) this.#jump(this.#read)
  }

  /** Reads one page more. Gives its events, for whoever has to prepare for them. */
  async readOn(): Promise<LiveEvent[]> {
    const { upTo, page, next } = this.#options
    const read = await page(this.done, upTo)
    const kept = read.numbers.filter((number) => number > this.done)
    const end = Math.min(read.upTo, upTo)
    if (kept.length < end - this.done) {
      const first = await next(kept.length === 0 ? this.done : wholeFrom(kept, end) - 1)
      this.#miss(first?.at ?? this.#options.now())
      if (kept.length === 0) {
        this.#jump(first === undefined ? upTo : Math.min(upTo, first.number - 1))
        return []
      }
    }
    this.#events = read.events.filter(({ from }) => this.#isAfter(from))
    this.#next = 0
    this.#read = end
    if (this.#events.length === 0) this.#jump(end)
    return this.#events
  }

  #isAfter(from: LiveEvent['from']): boolean {
    if (!isReading(from)) return from.position > this.done
    return from.seq > this.done + 1 || (from.seq === this.done + 1 && from.index >= this.messages)
  }

  #miss(to: number): void {
    this.gap = { of: this.#options.of, from: this.gap?.from ?? this.#options.since, to }
  }

  #jump(to: number): void {
    this.done = to
    this.messages = 0
    this.#read = to
    this.#events = []
    this.#next = 0
  }
}

/** From this number to the end all is kept; the one after the end, where the last is not. */
function wholeFrom(kept: number[], end: number): number {
  let from = end + 1
  for (let i = kept.length - 1; i >= 0 && kept[i] === from - 1; i--) from = kept[i]!
  return from
}
