/**
 * Which functions of readings (features.ts) a device has to look at for what, so that a reading costs no more because there are functions of
 * others. `known` holds them by name; which they are never changes in it (inbox-features.ts, withRules).
 */
import { type Feature, featureNamed } from './features.ts'

export interface Place {
  name: string
  feature: Feature
}

interface Places {
  /** By property. */
  readings: Map<string, Place[]>
  /** By name of device events. */
  events: Map<string, Place[]>
  /** Those that time alone may change. */
  timed: Place[]
}

const places = new WeakMap<object, Places>()
/** Devices with the same rules share them. */
const placesByNames = new Map<string, Places>()
const MOST_PLACES = 1_000
const NONE: readonly Place[] = []

/** Those of a property, or of a kind of device event. */
export function placesOf(known: object, of: string, isEvent: boolean): readonly Place[] {
  const { readings, events } = placesIn(known)
  return (isEvent ? events : readings).get(of) ?? NONE
}

export function placesIn(known: object): Places {
  let found = places.get(known)
  if (!found) {
    const names = Object.keys(known)
    const key = names.join()
    found = placesByNames.get(key) ?? placesFor(names)
    if (placesByNames.size >= MOST_PLACES) placesByNames.clear()
    placesByNames.set(key, found)
    places.set(known, found)
  }
  return found
}

function placesFor(names: string[]): Places {
  const found: Places = { readings: new Map(), events: new Map(), timed: [] }
  for (const name of names) {
    const feature = featureNamed(name)
    const place = { name, feature }
    if (feature.kind === 'missing' || feature.kind === 'count') found.timed.push(place)
    if (feature.kind === 'health') continue
    const sources = feature.kind === 'count' && feature.event ? found.events : found.readings
    const there = sources.get(feature.of)
    if (there) there.push(place)
    else sources.set(feature.of, [place])
  }
  return found
}
