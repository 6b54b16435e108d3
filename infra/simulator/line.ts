/**
 * The line of a simulated device: a link, and another one when that broke, with backoff and full jitter. It may be left, for a sleep or for a
 * reboot, and is taken up again then; or cut for good.
 */
import { createBackoff } from './backoff.ts'
import type { Down, Link, LinkEvents } from './link.ts'
import { type Outgoing, presence } from './message.ts'
import type { Random } from './random.ts'
import type { Figures } from './report.ts'
import type { Timers } from './timers.ts'
import type { Voice } from './voice.ts'

export interface LineOptions {
  open(token: string, will: Outgoing, events: LinkEvents): Link
  token: string
  /** A new token, when the old one is not accepted. */
  renewToken(): Promise<string>
  voice: Voice
  hello(): Outgoing
  up(): void
  renewed(): void
  asked: LinkEvents['asked']
  timers: Timers
  random: Random
  figures: Figures
}

export interface Line {
  connect(): void
  /** In good order, without a goodbye; it comes back at the next `connect`. */
  leave(): void
  /** The same, and nothing brings it back before so much time has passed. */
  leaveFor(ms: number, before: () => void): void
  /** Pulls the plug. It comes back. */
  cut(): void
  /** Ends in good order, for ever; says goodbye first if asked to. */
  end(goodbye: boolean): Promise<void>
  /** Pulls the plug, for ever. All that waits is lost. */
  die(): void
  readonly isUp: boolean
}

const GOODBYE_TIMEOUT_MS = 2_000

export function createLine({ voice, figures, timers, ...options }: LineOptions): Line {
  const { later } = timers
  const backoff = createBackoff(options.random)
  const will = presence(0, { status: 'offline' })
  let token = options.token
  let link: Link | undefined
  let isUp = false
  let isAway = false
  let isOver = false
  let saidGoodbye: (() => void) | undefined

  function connect(): void {
    if (isOver || isAway || link) return
    // Late callbacks of an earlier link must not touch this one.
    const mine: Link = options.open(token, will, {
      up: () => link === mine && up(mine),
      down: (why) => link === mine && down(why),
      acknowledged: (message) => link === mine && acknowledged(message),
      refused: (message) => link === mine && voice.refused(message),
      told: () => {
        figures.told += 1
      },
      asked: (asked) => link === mine && options.asked(asked),
    })
    link = mine
  }

  function up(mine: Link): void {
    isUp = true
    figures.online += 1
    figures.connects += 1
    voice.begin(mine, options.hello())
    options.up()
  }

  function offline(): void {
    if (isUp) figures.online -= 1
    isUp = false
    link = undefined
    voice.pause()
  }

  function down(why: Down): void {
    offline()
    saidGoodbye?.()
    if (isOver) return
    figures.downs.set(why.reason, (figures.downs.get(why.reason) ?? 0) + 1)
    const wait = (why.retryAfterMs ?? 0) + backoff.next()
    later(wait, why.credential ? renewAndConnect : connect)
  }

  function renewAndConnect(): void {
    options.renewToken().then(
      (renewed) => {
        token = renewed
        options.renewed()
        connect()
      },
      () => !isOver && later(backoff.next(), renewAndConnect),
    )
  }

  function acknowledged(message: Outgoing): void {
    backoff.reset()
    if (message.kind === 'presence' && message.values.status === 'offline') saidGoodbye?.()
    voice.acknowledged(message)
  }

  function leave(): void {
    const closing = link
    offline()
    void closing?.end()
  }

  return {
    connect,
    leave,
    leaveFor(ms, before) {
      isAway = true
      leave()
      later(ms, () => {
        isAway = false
        before()
        connect()
      })
    },
    cut: () => link?.cut(),
    async end(goodbye) {
      isOver = true
      if (goodbye && isUp) {
        const said = new Promise<void>((resolve) => {
          saidGoodbye = resolve
          setTimeout(resolve, GOODBYE_TIMEOUT_MS).unref()
        })
        voice.sayNow(presence(Date.now(), { status: 'offline' }))
        await said
      }
      await link?.end()
      if (link) offline()
    },
    die() {
      isOver = true
      link?.cut()
      voice.forget()
    },
    get isUp() {
      return isUp
    },
  }
}
