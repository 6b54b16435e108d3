/**
 * How a simulated device obeys: it takes wishes and reports what became of them, and does each command once, however often it comes.
 *
 *   wish ──► configure ──► reported, with the version
 *   command ──► acknowledged ──► running … ──► succeeded | failed, and the same again when it is asked again
 */
import type { DeviceAnswer, JsonObject } from '../../twin-models/core/types.ts'
import type { Asked, Command, Wish } from './asked.ts'
import type { SimulatedDevice } from './devices/device.ts'
import { type Outgoing, reported, response } from './message.ts'
import type { Random } from './random.ts'
import type { Figures } from './report.ts'

/** Some devices refuse all that is asked of them; some take their time. */
export interface Temper {
  refuses: boolean
  slow: boolean
}

export interface ObedienceOptions {
  device: SimulatedDevice
  temper: Temper
  random: Random
  figures: Pick<Figures, 'wishes' | 'commands'>
  say(message: Outgoing): void
  nextId(): string
  now(): number
  /** Gives a function that calls it off. */
  later(ms: number, act: () => void): () => void
}

export interface Obedience {
  ask(asked: Asked): void
  /** Something was asked that it has not answered. */
  readonly isBusy: boolean
}

/** A device's memory is small: of older commands it does not know that it did them. */
const REMEMBERED = 100
const MOMENT_MS = { least: 0, most: 200 } as const
const SLOWLY_MS = { least: 5_000, most: 20_000 } as const
/** What takes longer is told on the way. */
const WORTH_TELLING_MS = 2_000
const REFUSED = { code: 'refused', message: 'I do not want to' } as const

export function createObedience({ device, temper, random, figures, say, nextId, now, later }: ObedienceOptions): Obedience {
  /** Undefined: it is called off, and nothing is said of it any more. */
  const done = new Map<string, DeviceAnswer | undefined>()
  const underWay = new Map<string, () => void>()
  let wish: Wish | undefined
  let settled = 0

  const moment = () => {
    const { least, most } = temper.slow ? SLOWLY_MS : MOMENT_MS
    return random.between(least, most)
  }

  function takeWish(next: Wish): void {
    // The newest is the whole of what is wished: older ones mean nothing any more.
    if (wish) {
      if (next.version > wish.version) wish = next
      return
    }
    wish = next
    later(moment(), answerWish)
  }

  function answerWish(): void {
    const { version, state } = wish!
    wish = undefined
    const refuse = () => Object.fromEntries(Object.keys(state).map((name) => [`/${name}`, REFUSED]))
    const rejected = temper.refuses ? refuse() : device.configure(state)
    const isRefused = Object.keys(rejected).length > 0
    if (version > settled) figures.wishes[isRefused ? 'refused' : 'obeyed'] += 1
    settled = Math.max(settled, version)
    say(reported(now(), nextId(), { version, state: picked(device.settings(), state), ...(isRefused && { rejected }) }))
  }

  function takeCommand(command: Command): void {
    const { id, name, expiresAt } = command
    if (done.has(id)) {
      const answer = done.get(id)
      if (answer) say(response(now(), id, 'end', answer))
      return
    }
    if (expiresAt <= now()) return
    say(response(now(), id, 'acknowledged', { status: 'acknowledged' }))
    if (underWay.has(id)) return
    const takes = device.takes(name)
    const ms = (takes ?? 0) + (temper.slow || takes === undefined || temper.refuses ? moment() : 0)
    const calls = [later(ms, () => finish(command))]
    if (ms > WORTH_TELLING_MS) calls.push(later(ms / 2, () => say(response(now(), id, 'half', { status: 'running', progress: 50 }))))
    underWay.set(id, () => {
      for (const callOff of calls) callOff()
    })
  }

  function finish({ id, name }: Command): void {
    underWay.delete(id)
    const answer = answerTo(name)
    figures.commands[answer.status === 'succeeded' ? 'obeyed' : 'refused'] += 1
    remember(id, answer)
    say(response(now(), id, 'end', answer))
  }

  function answerTo(name: string): DeviceAnswer {
    if (temper.refuses) return { status: 'failed', ...REFUSED }
    if (device.takes(name) === undefined) return { status: 'failed', code: 'unknown-action', message: 'I cannot do that' }
    const { answer, changed } = device.act(name, now())
    if (Object.keys(changed).length > 0) say(reported(now(), nextId(), { state: changed }))
    return answer
  }

  function cancel(id: string): void {
    const callOff = underWay.get(id)
    if (callOff) {
      callOff()
      underWay.delete(id)
      figures.commands.cancelled += 1
    }
    if (!done.has(id)) remember(id, undefined)
  }

  function remember(id: string, answer: DeviceAnswer | undefined): void {
    done.set(id, answer)
    const [oldest] = done.keys()
    if (done.size > REMEMBERED) done.delete(oldest!)
  }

  return {
    ask(asked) {
      if (asked.kind === 'wish') takeWish(asked)
      else if (asked.kind === 'command') takeCommand(asked)
      else cancel(asked.id)
    },
    get isBusy() {
      return wish !== undefined || underWay.size > 0
    },
  }
}

function picked(settings: JsonObject, wished: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => Object.hasOwn(wished, name)))
}
