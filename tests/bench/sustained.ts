/**
 * The sustained rate: what is accepted and processed while the lag does not grow.
 *
 * A closed loop would not show it, since accepting can outrun processing. So the pace of the connections (each still has one message in
 * flight) is steered: twice a second it is set a little above or below what was processed lately, so that about a second's worth of
 * messages waits. What is accepted and what is processed are then the same but for the change of the backlog, which is reported; the
 * rate is the smaller of the two over the whole window. Where accepting is the narrower part, the pace never binds.
 */
import type { Castor } from './castor.ts'
import type { Generator } from './children.ts'
import { unprocessed } from './lag.ts'
import { cpuSeconds } from './processes.ts'

export interface Sustained {
  perSecond: number
  acceptedPerSecond: number
  processedPerSecond: number
  /** Seconds' worth of messages that waited at the begin and the end of the window. */
  lagSecondsFrom: number
  lagSecondsTo: number
  p50Ms: number
  p99Ms: number
  messages: number
  /** CPU microseconds a message, by process. */
  cpuMicros: Record<string, number>
}

export interface SustainedOptions {
  warmUpSeconds: number
  seconds: number
  /** Where to begin; it is left soon. */
  perSecond: number
}

interface Sample {
  at: number
  accepted: number
  backlog: number
}

const STEP_MS = 500
const TARGET_LAG_SECONDS = 1
/** Rates are taken over so many steps. */
const STEPS_LATELY = 4

export async function sustained(castor: Castor, generator: Generator, options: SustainedOptions): Promise<Sustained> {
  const steering = new Steering(castor, generator, options.perSecond)
  await steering.run(options.warmUpSeconds)
  const cpuFrom = cpuSeconds(castor.pids())
  const from = await steering.sample()
  const interval = await generator.measure(options.seconds, () => steering.step())
  const to = await steering.sample()
  const cpuTo = cpuSeconds(castor.pids())
  generator.pace(0)

  const seconds = (to.at - from.at) / 1000
  const messages = to.accepted - from.accepted
  const acceptedPerSecond = messages / seconds
  const processedPerSecond = (processed(to) - processed(from)) / seconds
  const perSecond = Math.min(acceptedPerSecond, processedPerSecond)
  return {
    perSecond,
    acceptedPerSecond,
    processedPerSecond,
    lagSecondsFrom: from.backlog / perSecond,
    lagSecondsTo: to.backlog / perSecond,
    p50Ms: interval.p50Ms,
    p99Ms: interval.p99Ms,
    messages,
    cpuMicros: perMessage(cpuFrom, cpuTo, messages),
  }
}

export function perMessage(from: Record<string, number>, to: Record<string, number>, messages: number): Record<string, number> {
  return Object.fromEntries(Object.keys(to).map((name) => [name, Number((((to[name]! - (from[name] ?? 0)) * 1e6) / messages).toFixed(1))]))
}

class Steering {
  readonly #castor: Castor
  readonly #generator: Generator
  readonly #lately: Sample[] = []
  #pace: number

  constructor(castor: Castor, generator: Generator, perSecond: number) {
    this.#castor = castor
    this.#generator = generator
    this.#pace = perSecond
    generator.pace(perSecond)
  }

  async sample(): Promise<Sample> {
    const [report, backlog] = await Promise.all([this.#generator.report(), unprocessed(this.#castor.sql)])
    return { at: performance.now(), accepted: report.acknowledged, backlog }
  }

  async step(): Promise<void> {
    const now = await this.sample()
    this.#lately.push(now)
    if (this.#lately.length > STEPS_LATELY) this.#lately.shift()
    const then = this.#lately[0]!
    if (now.at - then.at < STEP_MS) return
    const rate = Math.max(500, ((processed(now) - processed(then)) * 1000) / (now.at - then.at))
    this.#pace = nextPace(this.#pace, rate, now.backlog)
    this.#generator.pace(Math.round(this.#pace))
  }

  async run(seconds: number): Promise<void> {
    const until = performance.now() + seconds * 1000
    while (performance.now() < until) {
      await this.step()
      await new Promise((resolve) => setTimeout(resolve, STEP_MS))
    }
  }
}

/** With little waiting, quickly up, but not out of sight of what is done; else a little above or below it, by what waits. */
export function nextPace(pace: number, processedPerSecond: number, backlog: number): number {
  const target = processedPerSecond * TARGET_LAG_SECONDS
  if (backlog < target / 2) return Math.min(Math.max(pace, processedPerSecond) * 1.25, processedPerSecond * 2)
  const change = Math.max(-0.5, Math.min(0.3, (0.4 * (target - backlog)) / target))
  return processedPerSecond * (1 + change)
}

function processed(sample: Sample): number {
  return sample.accepted - sample.backlog
}
