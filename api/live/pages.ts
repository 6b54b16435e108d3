/**
 * What is older than memory, in pages with fixed bounds: readers that come back at the same time (the process was restarted, say) read the
 * same pages, which are read and decoded once. One tenant's events each. Bounded by bytes.
 */
import { type LogMessage, takeMessages } from '../ingest/log-reader.ts'
import type { LiveDevices } from './devices.ts'
import { decidedEvent, isShown, type LiveEvent, readingEvent } from './live-event.ts'
import type { LiveStore } from './ports.ts'

export interface Page {
  /** Bounds: above `after`, up to `upTo`. Numbers are positions, or entries of one stream. */
  after: number
  upTo: number
  /** What is kept of it, of all tenants. */
  numbers: number[]
  events: LiveEvent[]
}

const OUTBOX_PAGE = 500
const LOG_PAGE = 64
const MOST_BYTES = 32 * 2 ** 20

export class Pages {
  readonly #store: LiveStore
  readonly #devices: LiveDevices
  readonly #pages = new Map<string, { page: Promise<Page>; bytes: number }>()
  #bytes = 0

  constructor(store: LiveStore, devices: LiveDevices) {
    this.#store = store
    this.#devices = devices
  }

  /** The page in which the number after `after` lies, as far as `end`. */
  outbox(tenant: string, after: number, end: number): Promise<Page> {
    return this.#page(`${tenant} outbox`, OUTBOX_PAGE, after, end, async (from, upTo) => {
      const { positions, rows } = await this.#store.outboxPage(tenant, from, upTo)
      return { after: from, upTo, numbers: positions, events: rows.filter(isShown).map(decidedEvent) }
    })
  }

  log(tenant: string, stream: number, after: number, end: number): Promise<Page> {
    return this.#page(`${tenant} ${stream}`, LOG_PAGE, after, end, async (from, upTo) => {
      const entries = await this.#store.entryPage(stream, from, upTo)
      const messages: LogMessage[] = []
      for (const entry of entries) takeMessages(entry, messages)
      const telemetry = messages.filter(({ kind }) => kind === 'telemetry')
      await this.#devices.load(telemetry.map(({ incarnation }) => incarnation))
      const events = telemetry.flatMap((message) => {
        const owner = this.#devices.get(message.incarnation)
        return owner?.tenant === tenant ? (readingEvent(message, owner) ?? []) : []
      })
      return { after: from, upTo, numbers: entries.map(({ seq }) => seq), events }
    })
  }

  clear(): void {
    this.#pages.clear()
    this.#bytes = 0
  }

  async #page(of: string, size: number, after: number, end: number, read: (after: number, upTo: number) => Promise<Page>): Promise<Page> {
    const from = Math.floor(after / size) * size
    const upTo = from + size
    // The last page grows: it is read for whoever asks.
    if (upTo > end) return read(after, end)
    const key = `${of} ${from}`
    const known = this.#pages.get(key)
    if (known) return known.page
    const entry = { page: read(from, upTo), bytes: 0 }
    this.#pages.set(key, entry)
    try {
      const page = await entry.page
      // What is missing of it may be asked for anew each time: how much that is, changes.
      if (page.numbers.length < size) this.#forget(key)
      else this.#count(key, page)
      return page
    } catch (error) {
      this.#forget(key)
      throw error
    }
  }

  #count(key: string, page: Page): void {
    const entry = this.#pages.get(key)
    if (!entry) return
    entry.bytes = page.numbers.length * 8 + page.events.reduce((sum, { json }) => sum + json.length * 3 + 300, 0)
    this.#bytes += entry.bytes
    for (const [oldest, { bytes }] of this.#pages) {
      if (this.#bytes <= MOST_BYTES) return
      if (bytes > 0) this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#pages.get(key)?.bytes ?? 0
    this.#pages.delete(key)
  }
}
