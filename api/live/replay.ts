/**
 * For readers that come back, or fell out of memory: what they want of outbox and ingest log, from where they are to where memory begins,
 * by time. A bounded piece at a time, of a few readers at once, so that many that come back together share what there is.
 *
 * A filter is asked of the twin as far as these events tell of it; what none of them tells is taken as it is now.
 */

import { matches } from '../../twin-models/filter/evaluate.ts'
import type { Documents } from './documents.ts'
import { eventText, type Gap, gapText, type LiveEvent } from './live-event.ts'
import type { Pages } from './pages.ts'
import { Past } from './past.ts'
import type { LiveStore } from './ports.ts'
import { type LogPosition, type Place, type Position, positionText } from './position.ts'
import { CHUNK_BYTES, hasEvents, type LiveReader } from './reader.ts'
import type { Slots } from './slots.ts'

/** Where memory begins for who catches up now. */
export interface Target {
  cursor: number
  outbox: number
  log: LogPosition | undefined
  eventsId: string
  fullId: string
}

export interface ReplayDeps {
  store: LiveStore
  pages: Pages
  documents: Documents
  slots: Slots
  target(): Target
  now(): number
  sent(event: LiveEvent | Gap): void
}

/** Of one source, in one piece of work. */
const PAGES_AT_ONCE = 20

let scopes = 0

/** The next bytes; undefined when there were none so far, or no more: the reader has joined then. */
export function replay(reader: LiveReader, deps: ReplayDeps): Promise<Buffer | undefined> {
  return deps.slots.run(async () => {
    if (reader.ended) return undefined
    if (reader.scope === 0) reader.scope = ++scopes
    const target = deps.target()
    const { position } = reader
    const pasts = await pastsOf(reader, position, target, deps)
    const texts: string[] = []
    let at = position.at
    let size = 0
    let pages = 0
    const say = (text: string) => {
      texts.push(text)
      size += text.length
    }
    while (size < CHUNK_BYTES && pages < PAGES_AT_ONCE) {
      const open = pasts.all.filter((past) => !past.ended)
      for (const past of open) {
        if (past.peek() !== undefined || past.ended) continue
        pages++
        const events = await past.readOn()
        if (reader.wants.filter) await loadTwins(events, reader, deps)
      }
      for (const gap of gapsOf(pasts.all)) {
        at = Math.max(at, gap.to)
        say(gapText(gap, idOf(at, pasts, reader.full)))
        deps.sent(gap)
      }
      if (open.some((past) => !past.ended && past.peek() === undefined)) continue
      const first = open.filter((past) => past.peek() !== undefined).sort((a, b) => a.peek()!.at - b.peek()!.at)[0]
      if (first === undefined) break
      const event = first.peek()!
      // Others may have pushed it out meanwhile.
      while (reader.wants.filter && !deps.documents.has(reader.scope, event.incarnation)) await loadTwins([event], reader, deps)
      first.take()
      at = Math.max(at, event.at)
      if (!isWanted(event, reader, deps.documents)) continue
      say(eventText(event.type, event.json, idOf(at, pasts, reader.full)))
      deps.sent(event)
    }
    deps.documents.trim()
    if (pasts.all.every((past) => past.ended && past.gap === undefined))
      reader.joinAt(target.cursor, reader.full ? target.fullId : target.eventsId)
    else reader.moveTo(idOf(at, pasts, reader.full))
    return texts.length === 0 ? undefined : Buffer.from(texts.join(''))
  })
}

function loadTwins(events: LiveEvent[], { scope }: LiveReader, { documents }: ReplayDeps): Promise<void> {
  return documents.load(
    scope,
    events.map(({ incarnation }) => incarnation),
  )
}

interface Pasts {
  all: Past[]
  outbox: Past | number
  /** Where memory begins in the log. */
  log: LogPosition | undefined
  streams: Map<number, Past>
}

async function pastsOf(
  { wants, full }: LiveReader,
  { at: since, outbox, log }: Position,
  target: Target,
  deps: ReplayDeps,
): Promise<Pasts> {
  const { store, pages, now } = deps
  const pasts: Pasts = { all: [], outbox: target.outbox, log: target.log, streams: new Map() }
  if (hasEvents(wants.types)) {
    pasts.outbox = new Past({
      ...{ of: 'events', after: outbox, upTo: target.outbox, since, now },
      page: (after, upTo) => pages.outbox(wants.tenant, after, upTo),
      next: (after) => store.nextOutbox(after),
    })
    pasts.all.push(pasts.outbox)
  }
  if (!full || target.log === undefined) return pasts
  // Who did not read them before reads them from now on.
  for (const [stream, place, upTo] of await logRanges(log ?? target.log, target.log, store)) {
    const past = new Past({
      ...{ of: 'readings', after: place.seq, messages: place.messages, upTo, since, now },
      page: (after, end) => pages.log(wants.tenant, stream, after, end),
      next: (after) => store.nextEntry(stream, after),
    })
    pasts.all.push(past)
    pasts.streams.set(stream, past)
  }
  return pasts
}

/**
 * Streams named in the position, and those that are later than it; each to where memory begins, or to its end. Those that the tail has not
 * begun are its own from their first entry.
 */
async function logRanges(
  from: LogPosition,
  to: LogPosition,
  store: LiveStore,
): Promise<Array<[stream: number, from: Place, upTo: number]>> {
  const isBegun = (stream: number) => stream <= to.floor || to.streams.has(stream)
  const known = (await store.streams()).map(({ stream }) => stream)
  const later = known.filter((stream) => stream > from.floor && !from.streams.has(stream) && isBegun(stream))
  const streams = [...from.streams.keys(), ...later].sort((a, b) => a - b)
  const ends = await store.lastEntries(streams.filter((stream) => !to.streams.has(stream)))
  return streams.map((stream) => {
    const upTo = to.streams.get(stream)?.seq ?? ends.get(stream) ?? 0
    return [stream, from.streams.get(stream) ?? { seq: 0, messages: 0 }, upTo]
  })
}

/** What is missing of one kind is told once, whatever the sources. */
function gapsOf(pasts: Past[]): Gap[] {
  const gaps = new Map<Gap['of'], Gap>()
  for (const past of pasts) {
    const { gap } = past
    if (gap === undefined) continue
    const known = gaps.get(gap.of) ?? gap
    gaps.set(gap.of, { of: gap.of, from: Math.min(known.from, gap.from), to: Math.max(known.to, gap.to) })
    past.gap = undefined
  }
  return [...gaps.values()]
}

function idOf(at: number, { outbox, log, streams }: Pasts, full: boolean): string {
  const position: Position = { at, outbox: typeof outbox === 'number' ? outbox : outbox.done }
  if (!full || log === undefined) return positionText(position)
  const named = [...streams].filter(([stream, past]) => !past.ended || stream > log.floor || log.streams.has(stream))
  const places = new Map(named.map(([stream, { done: seq, messages }]) => [stream, { seq, messages }]))
  return positionText({ ...position, log: { floor: log.floor, streams: places } })
}

function isWanted(event: LiveEvent, { wants, scope }: LiveReader, documents: Documents): boolean {
  // Asked of every event, since it tells of the twin also where it is not wanted itself.
  const document = wants.filter && documents.apply(scope, event)
  if (!wants.types.has(event.type)) return false
  if (wants.device !== undefined && event.device !== wants.device) return false
  return wants.filter === undefined || (document !== undefined && matches(wants.filter.tree, document))
}
