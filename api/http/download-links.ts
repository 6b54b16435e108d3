/**
 * What links of downloads stand for, looked up seldom. Whoever asks has no credential yet: he may know the link of an update, or make one up, and
 * the connections on which it is looked up are those of all else that a bridge does. So an answer is good for a moment, that there is none as
 * well; few are looked up at the same time, others stand in line, and who finds the line full comes again later.
 */
import type { DownloadLink, FindDownloadLink } from '../firmware-ports.ts'
import { comeAgain } from './download-places.ts'

export interface LinkLimits {
  /** How long what was looked up is taken on trust. */
  trustMs: number
  /** How many are looked up at the same time. */
  lookUps: number
  lookUpsInLine: number
}

const MOST_LINKS = 20_000
const MOST_MISSES = 20_000

export function createLinkCache(find: FindDownloadLink, { trustMs, lookUps, lookUpsInLine }: LinkLimits): FindDownloadLink {
  const links = new Map<string, { link: Promise<DownloadLink | undefined>; until: number }>()
  /** Apart: what somebody makes up pushes no link out. */
  const misses = new Map<string, number>()
  const line: Array<() => void> = []
  let underway = 0

  return (update) => {
    const now = performance.now()
    const known = links.get(update)
    if (known && known.until > now) return known.link
    if ((misses.get(update) ?? 0) > now) return Promise.resolve(undefined)
    const entry = { link: lookUp(update), until: now + trustMs }
    put(links, update, entry, MOST_LINKS)
    const forget = () => {
      if (links.get(update) === entry) links.delete(update)
    }
    entry.link.then((link) => {
      if (link) return
      forget()
      put(misses, update, entry.until, MOST_MISSES)
    }, forget)
    return entry.link
  }

  async function lookUp(update: string): Promise<DownloadLink | undefined> {
    if (underway < lookUps) underway++
    else if (line.length < lookUpsInLine) await new Promise<void>((isNext) => line.push(isNext))
    else throw comeAgain('So many downloads begin')
    try {
      return await find(update)
    } finally {
      // Its place goes to the next one.
      const isNext = line.shift()
      if (isNext) isNext()
      else underway--
    }
  }
}

/** The oldest goes for it. */
function put<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value!)
}
