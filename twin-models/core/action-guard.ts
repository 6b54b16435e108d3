/**
 * Which alarms may act on devices. What a rule does may set off a rule, and so on for ever; that is found by counting, since nobody can know for
 * certain what made a device say something.
 *
 * - *Loop*: a rule that sets off itself through its device, alone or in turn with others. Of one rule on one device only so many alarms act within
 *   the window; further ones are cut until it is quieter.
 * - *Chain*: from device to device. An alarm whose condition began soon after a rule had acted on its device counts as set off by that: as deep
 *   as the alarm that acted, and one deeper where that is of another device. What is too deep is cut. A device that acts on itself is no chain: if
 *   it is a loop, it is found as one.
 *
 * An alarm is judged once, at the first of its turns that has a command or a wish: who stopped a pump when it was raised may start it when it is
 * cleared. One that was raised in maintenance does not act, since somebody is at the device; where it is still there at the end of that it is judged
 * then, as if it were raised.
 */

export const LOOP = { alarms: 10, windowMs: 600_000 } as const
export const CHAIN = { depth: 5, withinMs: 60_000 } as const

/** Why an alarm does not act. */
export type CutBy = Runaway | 'maintenance'
/** That is worth a word. */
export type Runaway = 'loop' | 'chain'

/** An alarm of the same rule on the same device, as far as it had commands or wishes. */
export interface ActingAlarm {
  n: number
  /** When it was judged. */
  at: number
  cut?: CutBy
}

/** A command or wish that a rule wrote. */
export interface Deed {
  /** When. */
  at: number
  /** Of the device that it is for, and of the one whose alarm it was. */
  target: number
  incarnation: number
  depth: number
}

/** How many devices there were before this one, as far as it is known. `began`: when what raised or cleared the alarm did. */
export function depthOf(deeds: readonly Deed[], { incarnation, began }: { incarnation: number; began: number }): number {
  return deeds
    .filter((deed) => deed.target === incarnation && deed.at <= began && deed.at >= began - CHAIN.withinMs)
    .reduce((deepest, deed) => Math.max(deepest, deed.depth + Number(deed.incarnation !== incarnation)), 0)
}

interface Judged {
  n: number
  at: number
  depth: number
  /** Its device was in maintenance when it was raised. */
  muted: boolean
}

/** Undefined: it may act. `before` has no other rule and device. */
export function cutOf(before: readonly ActingAlarm[], { n, at, depth, muted }: Judged): CutBy | undefined {
  const same = before.find((alarm) => alarm.n === n)
  if (same) return same.cut
  if (muted) return 'maintenance'
  if (depth >= CHAIN.depth) return 'chain'
  return before.filter((alarm) => !alarm.cut && isWithin(alarm, at)).length >= LOOP.alarms ? 'loop' : undefined
}

/** Whether a cut is to be told: it is not, while others were not long ago. */
export function tellsOf(before: readonly ActingAlarm[], { n, at }: Pick<Judged, 'n' | 'at'>, cut: CutBy | undefined): cut is Runaway {
  return isRunaway(cut) && !before.some((alarm) => isRunaway(alarm.cut) && (alarm.n === n || isWithin(alarm, at)))
}

function isRunaway(cut: CutBy | undefined): cut is Runaway {
  return cut === 'loop' || cut === 'chain'
}

function isWithin(alarm: ActingAlarm, at: number): boolean {
  return alarm.at > at - LOOP.windowMs
}
