/**
 * `GET /device/v1/pending`: devices that wait over HTTP for what is pending, thousands of them at a time.
 *
 * They all share one query at a time, and are woken by the news that wakes the downlink of MQTT; a sweep goes round them in case that got
 * lost. The answer is all that is pending, with an ETag of it: a device that sends the ETag back has that, and waits for something else.
 * What was not handed out before is claimed first; what was, and may be repeated, stands there again as long as it is pending. An error
 * stands there until its ETag comes back, or it expires; to a device that sends no ETags it ends a wait once.
 */
import { CastorError } from '../../twin-models/errors.ts'
import type { DownlinkStore, Pending, PendingError } from '../downlink.ts'
import { batched } from './batch.ts'
import { type HandOut, isNothing, leftOf, NOTHING, together } from './hand-out.ts'
import { digestOf, type Known, knownOf, tagOf } from './pending-tags.ts'
import { remember } from './remember.ts'

export interface Poll {
  incarnation: number
  tokenHash: Buffer
  /** If-None-Match. */
  known: string | undefined
  waitMs: number
  /** The device went away. */
  signal: AbortSignal
}

/** `undefined`: the wait is over, and there is nothing that the device does not have. */
export interface PollAnswer {
  etag: string
  pending: Pending | undefined
}

export interface DevicePolls {
  poll(poll: Poll): Promise<PollAnswer>
  /** Something may be due for these devices. */
  wake(incarnations: Iterable<number>): void
  wakeAll(): void
  /** The device was deleted, or has the token of this hash by now. */
  drop(incarnation: number, tokenHash?: Buffer): void
  isWaiting(incarnation: number): boolean
  readonly waiting: number
  readonly stopped: boolean
  /** Ends all waits. */
  stop(): void
}

export interface DevicePollsOptions {
  store: DownlinkStore
  handOut: HandOut
  most?: number
  sweepMs?: number
}

interface Waiter extends Omit<Poll, 'known'> {
  known: Known | undefined
  /** Of what was pending when it was looked at last. */
  digest: string
  /** As it was then, without those that the device has seen. */
  errors: PendingError[]
  timer: NodeJS.Timeout | undefined
  resolve(answer: PollAnswer): void
  reject(error: CastorError): void
}

const MOST = 10_000
const MOST_PER_DEVICE = 4
const DEVICES_A_LOOK = 500
const SWEEP_MS = 2000
const NOTHING_DIGEST = digestOf(NOTHING)

export function createDevicePolls({ store, handOut, most = MOST, sweepMs = SWEEP_MS }: DevicePollsOptions): DevicePolls {
  const waiters = new Map<number, Set<Waiter>>()
  /** The newest error that a device was given here. */
  const told = new Map<number, number>()
  const look = batched(lookAt, DEVICES_A_LOOK)
  let waiting = 0
  let stopped = false
  let sweeping: number[] = []
  const sweep = setInterval(() => {
    if (sweeping.length === 0) sweeping = [...waiters.keys()]
    wake(sweeping.splice(0, DEVICES_A_LOOK))
  }, sweepMs)
  sweep.unref()

  return {
    poll,
    wake,
    wakeAll: () => wake(waiters.keys()),
    drop,
    isWaiting: (incarnation) => waiters.has(incarnation),
    get waiting() {
      return waiting
    },
    get stopped() {
      return stopped
    },
    stop,
  }

  function poll(poll: Poll): Promise<PollAnswer> {
    if (stopped) throw new CastorError('unavailable', 'This bridge is stopping. Ask again.', { retryAfterSeconds: 1 })
    if (waiting >= most) throw new CastorError('unavailable', 'Too many devices wait already. Ask again later.', { retryAfterSeconds: 10 })
    const { promise, resolve, reject } = Promise.withResolvers<PollAnswer>()
    const known = poll.known === undefined ? undefined : knownOf(poll.known)
    const waiter: Waiter = { ...poll, known, digest: NOTHING_DIGEST, errors: [], timer: undefined, resolve, reject }
    const ofDevice = waiters.get(poll.incarnation) ?? new Set()
    waiters.set(poll.incarnation, ofDevice)
    const [oldest] = ofDevice
    ofDevice.add(waiter)
    waiting++
    if (oldest && ofDevice.size > MOST_PER_DEVICE) finish(oldest)
    poll.signal.addEventListener('abort', () => finish(waiter), { once: true })
    wake([poll.incarnation])
    return promise
  }

  function wake(incarnations: Iterable<number>): void {
    for (const incarnation of incarnations) if (waiters.has(incarnation)) look(incarnation).catch((error) => fail(incarnation, error))
  }

  async function lookAt(incarnations: number[]): Promise<Map<number, void>> {
    const listed = await store.list(incarnations.filter((incarnation) => waiters.has(incarnation)))
    const news = incarnations.filter((incarnation) => {
      const pending = listed.get(incarnation)
      return pending && waitersOf(incarnation).some((waiter) => isNews(waiter, pending, digestOf(pending)))
    })
    const handed = await handOut(news)
    for (const incarnation of incarnations) answer(incarnation, listed.get(incarnation) ?? NOTHING, handed.get(incarnation))
    return new Map()
  }

  function answer(incarnation: number, listed: Pending, handed: Pending | undefined): void {
    const digest = digestOf(listed)
    let given = handed
    for (const waiter of waitersOf(incarnation)) {
      waiter.digest = digest
      waiter.errors = listed.errors.filter(({ number }) => number > (waiter.known?.errors ?? 0) && !waiter.known?.all)
      if (isNews(waiter, listed, digest)) {
        const pending = { ...together(listed, given), errors: waiter.errors }
        // Else it was only what another bridge has just handed out.
        if (!isNothing(pending) || digest === NOTHING_DIGEST) finish(waiter, pending)
        given = undefined
      }
      if (waitersOf(incarnation).includes(waiter)) waiter.timer ??= setTimeout(finish, waiter.waitMs, waiter)
    }
  }

  function isNews({ known, incarnation }: Waiter, { errors }: Pending, digest: string): boolean {
    if (known?.all) return false
    const newest = errors.at(-1)?.number ?? 0
    if (known) return !known.digests.includes(digest) || newest > known.errors
    return digest !== NOTHING_DIGEST || newest > (told.get(incarnation) ?? 0)
  }

  function finish(waiter: Waiter, pending?: Pending): void {
    if (!leave(waiter)) return
    const { incarnation, known, errors, digest, resolve } = waiter
    const newest = errors.at(-1)?.number
    if (newest !== undefined) remember(told, incarnation, newest)
    const etag = tagOf(pending ? digestOf(leftOf(pending)) : digest, newest ?? known?.errors ?? 0)
    resolve({ etag, pending: pending ?? (newest === undefined ? undefined : { ...NOTHING, errors }) })
  }

  function fail(incarnation: number, cause: unknown): void {
    const details = { retryAfterSeconds: 5, cause }
    const error = new CastorError('unavailable', 'What is pending cannot be read at the moment. Ask again later.', details)
    for (const waiter of waitersOf(incarnation)) if (leave(waiter)) waiter.reject(error)
  }

  function drop(incarnation: number, tokenHash?: Buffer): void {
    for (const waiter of waitersOf(incarnation))
      if (!(tokenHash && waiter.tokenHash.equals(tokenHash)) && leave(waiter))
        waiter.reject(new CastorError('unauthenticated', 'This token is no longer that of a device.'))
  }

  function leave(waiter: Waiter): boolean {
    const ofDevice = waiters.get(waiter.incarnation)
    if (!ofDevice?.delete(waiter)) return false
    if (ofDevice.size === 0) waiters.delete(waiter.incarnation)
    clearTimeout(waiter.timer)
    waiting--
    return true
  }

  function waitersOf(incarnation: number): Waiter[] {
    return [...(waiters.get(incarnation) ?? [])]
  }

  function stop(): void {
    stopped = true
    clearInterval(sweep)
    for (const incarnation of [...waiters.keys()]) for (const waiter of waitersOf(incarnation)) finish(waiter)
  }
}
