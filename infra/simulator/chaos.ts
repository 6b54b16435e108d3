/** Misbehaviour on request: what real fleets do to a server, dealt out by seeded chance. */
import { garbage, type Outgoing } from './message.ts'
import type { Random } from './random.ts'

/** A message to send after a while, instead of or besides the good one. */
export interface Deed {
  afterMs: number
  message: Outgoing
}

export interface Mischief {
  /** What really becomes of a message that was about to be sent. */
  mangle(message: Outgoing): Deed[]
  /** Should the device pull the plug now? */
  cutNow(): boolean
  /** After so many bytes of a download its line breaks; undefined: it holds. */
  breaksAfter(size: number): number | undefined
}

const DUPLICATE = 0.05
const LATE = 0.04
const WRONG_CLOCK = 0.02
const GARBAGE = 0.02
const CUT = 0.004
const BROKEN_DOWNLOAD = 0.5
const LATEST_MS = 20_000

/** `isOn` is asked each time: a fleet may come to its senses. */
export function createMischief(device: string, random: Random, isOn: () => boolean = () => true): Mischief {
  // Garbage of another run must not be taken for this run's.
  const run = Date.now().toString(36)
  let count = 0
  return {
    mangle(message) {
      if (!isOn()) return [{ afterMs: 0, message }]
      const deeds: Deed[] = []
      const honest = random.chance(WRONG_CLOCK) ? withWrongClock(message, random) : message
      deeds.push({ afterMs: random.chance(LATE) ? random.between(100, LATEST_MS) : 0, message: honest })
      if (random.chance(DUPLICATE)) deeds.push({ afterMs: random.between(0, LATEST_MS), message: { ...honest, duplicate: true } })
      if (random.chance(GARBAGE)) {
        count += 1
        deeds.push({ afterMs: 0, message: makeGarbage(message.ts, `${device}-${run}-${count}`, random) })
      }
      return deeds
    },
    cutNow: () => isOn() && random.chance(CUT),
    breaksAfter: (size) => (isOn() && random.chance(BROKEN_DOWNLOAD) ? Math.ceil(random.next() * size) : undefined),
  }
}

/** Only for messages with an id: without one, a repeated message of unknown time may rightly count twice. */
function withWrongClock(message: Outgoing, random: Random): Outgoing {
  if (message.id === undefined) return message
  const unset = Date.UTC(1970, 0, 1, 0, 0, Math.floor(random.between(1, 3000)))
  const farFuture = Date.UTC(2300, 0, 1)
  return { ...message, claimedTs: random.pick([unset, message.ts + 3_600_000, farFuture]) }
}

/** Each of these must become a dead letter. `mark` stands in the first bytes, by which the dead letter is found. */
function makeGarbage(ts: number, mark: string, random: Random): Outgoing {
  const bytes = (text: string) => Buffer.from(text)
  const time = new Date(ts).toISOString()
  const make = random.pick([
    () => bytes(`{"mark": "${mark}", "temperature": 2`),
    () => bytes(`${mark} is no JSON`),
    () => bytes(`{"id": "${mark}", "ts": "${time}", "values": {"temperature": "warm", "pressure": "high"}}`),
    () => bytes(`{"id": "${mark}", "ts": "the day before yesterday", "values": {"temperature": 20, "pressure": 2}}`),
    () => bytes(`{"id": "${mark}", "ts": "${time}", "values": {"temperature": NaN}}`),
    () => bytes(`{"id": "${mark}", "ts": "${time}", "values": 17}`),
    () => bytes(`"${mark}"`),
    () => Buffer.concat([bytes(`{"id": "${mark}", "values": {"note": "`), Buffer.from([0xff, 0xfe, 0xc0]), bytes('"}}')]),
    () => bytes(`{"id": "${mark}", "values": {"deep": ${'['.repeat(1000)}${']'.repeat(1000)}}}`),
  ])
  return garbage(ts, mark, make())
}
