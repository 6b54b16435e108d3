/** A fleet in memory as a rollout's store sees it: who waits, is under way, has ended. Devices do what fate has in store for them. */
import type {
  RolloutCounts,
  RolloutDirection,
  RolloutReturn,
  SteerEffects,
  WaveCounts,
  WaveRule,
} from '../../twin-models/core/rollout-types.ts'
import { EMPTY_WAVE, waveSizes } from '../../twin-models/core/rollout-waves.ts'

export interface SimDevice {
  /** How its update ends: `away` and `skipped` are no failures. `flaky`: failed, but runs the new version. */
  end: 'healthy' | 'failed' | 'flaky' | 'silent' | 'away' | 'skipped'
  backEnd: 'healthy' | 'failed' | 'silent' | 'away'
  takesMs: number
  /** How long it takes until it is told of its update: it is away, or waits for its window. Absent: it is told at once. */
  untoldMs?: number
  /** How often its twin says first that it is busy. */
  busy: number
  /** How long its twin takes to cancel. */
  cancelMs: number
  /** Epoch ms from which it is no more. */
  removedAt?: number
  /** Epoch ms from which the filter finds it. Absent: always. */
  appearsAt?: number
  group?: string
}

export interface Target {
  direction: RolloutDirection
  device: number
  wave: number
  status: 'waiting' | 'underway' | 'healthy' | 'failed' | 'left'
  isSilent: boolean
  notBefore: number
  /** The time of the step that started it last. */
  stamp: number
  toldAt: number
  endsAt: number
  cancelAt: number
  /** A halt stops it, unless its device is told before. */
  isStopped: boolean
  /** Updates that it was given, how many of them the twin refused since it was busy, and how many were stopped by a halt. */
  starts: number
  refusals: number
  stops: number
  canReturn: boolean
  /** It was not asked any more, since its rollout was cancelled. */
  isDropped: boolean
}

const BUSY_MS = 60_000
const MOST_BUSY_MS = 3_600_000

export class RolloutFleet {
  readonly devices: SimDevice[]
  readonly rules: { [direction in RolloutDirection]: WaveRule[] }
  readonly targets: { [direction in RolloutDirection]: Target[] } = { forward: [], back: [] }
  readonly #chosen = new Set<RolloutDirection>()
  readonly #excluded = new Set<number>()

  constructor(devices: SimDevice[], rules: { forward: WaveRule[]; back: WaveRule[] }) {
    this.devices = devices
    this.rules = rules
  }

  choose(direction: RolloutDirection, which: RolloutReturn | undefined, now: number): void {
    if (this.#chosen.has(direction)) return
    this.#chosen.add(direction)
    const chosen = direction === 'back' ? this.#returning(which!) : this.#found(now)
    const rules = this.rules[direction]
    const groups = rules.flatMap((rule) => ('group' in rule ? [rule.group] : []))
    const groupOf = (device: number) => groups.indexOf(this.devices[device]!.group ?? '')
    const members = groups.map((_, i) => chosen.filter((device) => groupOf(device) === i))
    const ordered = [...members.flat(), ...chosen.filter((device) => groupOf(device) < 0)]
    const sizes = waveSizes(
      chosen.length,
      rules,
      members.map(({ length }) => length),
    )
    for (const [wave, size] of sizes.entries()) for (const device of ordered.splice(0, size)) this.#add(direction, device, wave)
    if (ordered.length > 0) throw new Error(`${ordered.length} devices are in no wave`)
  }

  join(direction: RolloutDirection, which: RolloutReturn | undefined, now: number): void {
    const there = new Set(this.targets[direction].map(({ device }) => device))
    const candidates = direction === 'back' ? this.#returning(which!) : this.#found(now)
    const last = this.rules[direction].length - 1
    if (direction === 'back')
      for (const target of this.targets.back)
        if (target.isDropped && candidates.includes(target.device))
          Object.assign(target, { status: 'waiting', isDropped: false, wave: last })
    for (const device of candidates) if (!there.has(device)) this.#add(direction, device, this.rules[direction].length - 1)
  }

  /** As the store does it: with the time of the step, so that a second time asks only what is missing. */
  start(direction: RolloutDirection, wave: number, count: number, stamp: number, now: number): Target[] {
    const done = this.targets[direction].filter((target) => target.stamp === stamp).length
    const able = this.targets[direction].filter((target) => target.status === 'waiting' && target.wave <= wave && target.notBefore <= now)
    const started = able.sort((a, b) => a.wave - b.wave).slice(0, Math.max(0, count - done))
    for (const target of started) {
      const { takesMs, untoldMs = 0 } = this.devices[target.device]!
      const toldAt = now + untoldMs
      Object.assign(target, { status: 'underway', stamp, toldAt, endsAt: toldAt + takesMs, starts: target.starts + 1 })
    }
    return started
  }

  affect({ cancelRunning, dropWaiting, exclude }: SteerEffects, direction: RolloutDirection, now: number): void {
    for (const target of this.targets[direction]) {
      const isExcluded = exclude === String(target.device)
      if (target.status === 'waiting' && (dropWaiting || isExcluded)) Object.assign(target, { status: 'left', isDropped: !isExcluded })
      if (target.status === 'underway' && (cancelRunning || isExcluded))
        target.cancelAt = Math.min(target.cancelAt, now + this.devices[target.device]!.cancelMs)
    }
    if (exclude !== undefined) this.#excluded.add(Number(exclude))
  }

  /** As a halt does it: what no device was told of yet is cancelled. */
  stopUntold(direction: RolloutDirection, now: number): void {
    for (const target of this.targets[direction]) {
      if (target.status !== 'underway' || target.toldAt <= now || target.isStopped) continue
      target.isStopped = true
      target.cancelAt = Math.min(target.cancelAt, now + this.devices[target.device]!.cancelMs)
    }
  }

  /** `isOver`: nobody is asked any more. */
  look(direction: RolloutDirection, now: number, isOver = false): RolloutCounts {
    for (const target of this.targets.forward) this.#settle(target, now, isOver || direction === 'back')
    for (const target of this.targets.back) this.#settle(target, now, isOver)
    const waves: WaveCounts[] = this.#chosen.has(direction) ? this.rules[direction].map(() => ({ ...EMPTY_WAVE })) : []
    for (const { wave, status, isSilent, notBefore } of this.targets[direction]) {
      const counts = waves[wave]!
      counts.total++
      counts[status]++
      if (status === 'waiting' && notBefore > now) counts.later++
      if (status === 'failed' && isSilent) counts.silent++
    }
    const ahead = direction === 'back' ? this.targets.forward.filter(({ status }) => status === 'underway').length : 0
    return { waves, ahead }
  }

  #settle(target: Target, now: number, isOver: boolean): void {
    const { end, backEnd, busy, removedAt } = this.devices[target.device]!
    const isOpen = target.status === 'waiting' || target.status === 'underway'
    if (isOpen && removedAt !== undefined && removedAt <= now) target.status = 'left'
    if (target.status !== 'underway') return
    if (target.refusals < busy) {
      const notBefore = now + Math.min(BUSY_MS * 2 ** target.refusals, MOST_BUSY_MS)
      Object.assign(target, this.#again(target, isOver), { notBefore, refusals: target.refusals + 1 })
      return
    }
    if (target.endsAt > now && target.cancelAt > now) return
    if (target.isStopped && target.cancelAt < target.toldAt) {
      Object.assign(target, this.#again(target, isOver), { stops: target.stops + 1 })
      return
    }
    const fate = target.direction === 'forward' ? end : backEnd
    if (target.cancelAt < target.endsAt) target.status = 'left'
    else if (fate === 'healthy') target.status = 'healthy'
    else target.status = fate === 'away' || fate === 'skipped' ? 'left' : 'failed'
    target.isSilent = target.status === 'failed' && fate === 'silent'
    target.canReturn = target.status === 'failed' && fate === 'flaky'
  }

  /** Under a new id, which nobody has asked to cancel. */
  #again({ device }: Target, isOver: boolean): Partial<Target> {
    const status = isOver || this.#excluded.has(device) ? 'left' : 'waiting'
    return { status, isStopped: false, cancelAt: Number.POSITIVE_INFINITY }
  }

  #found(now: number): number[] {
    return [...this.devices.keys()].filter((device) => {
      const { appearsAt, removedAt } = this.devices[device]!
      return (appearsAt ?? 0) <= now && (removedAt === undefined || removedAt > now) && !this.#excluded.has(device)
    })
  }

  #returning(which: RolloutReturn): number[] {
    const returns = ({ status, canReturn }: Target) => (which === 'updated' && status === 'healthy') || canReturn
    return this.targets.forward.filter((target) => returns(target) && !this.#excluded.has(target.device)).map(({ device }) => device)
  }

  #add(direction: RolloutDirection, device: number, wave: number): void {
    const fresh = {
      status: 'waiting',
      isSilent: false,
      canReturn: false,
      isDropped: false,
      isStopped: false,
      notBefore: 0,
      stamp: 0,
      starts: 0,
      refusals: 0,
      stops: 0,
    } as const
    this.targets[direction].push({
      ...fresh,
      direction,
      device,
      wave,
      toldAt: Number.POSITIVE_INFINITY,
      endsAt: Number.POSITIVE_INFINITY,
      cancelAt: Number.POSITIVE_INFINITY,
    })
  }
}
