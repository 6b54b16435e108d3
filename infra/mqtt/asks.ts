/**
 * What is asked of the store for devices that are connected here: what is due, or all of it after a device came or asked, until that was
 * given.
 */
import type { Ask } from '../../api/downlink.ts'
import type { Wanted } from './wanted.ts'

/** What of `all` is still to be sent to a device: after which command, null: none. */
interface Again {
  desired: boolean
  after: number | null
  updates: boolean
}

const NOTHING: Again = { desired: false, after: null, updates: false }

export class Asks {
  readonly #agains = new Map<number, Again>()

  /** All that it wants of this, whatever went before. */
  again(incarnation: number, wanted: Wanted): void {
    const before = this.#agains.get(incarnation) ?? NOTHING
    const after = wanted.commands ? 0 : before.after
    this.#set(incarnation, { desired: wanted.desired || before.desired, after, updates: wanted.updates || before.updates })
  }

  /** What of all is still to be sent counts as given from now on. */
  take(incarnation: number, wanted: Wanted): Ask {
    const again = this.#agains.get(incarnation)
    this.#agains.delete(incarnation)
    return askFor(incarnation, wanted, again)
  }

  forget(incarnation: number): void {
    this.#agains.delete(incarnation)
  }

  /** What was asked for and not given is asked for again, unless it is by now asked for from further up. */
  restore({ incarnation, desired, commands, after, updates }: Ask): void {
    const newer = this.#agains.get(incarnation) ?? NOTHING
    const from = commands === 'all' ? Math.min(after, newer.after ?? after) : newer.after
    this.#set(incarnation, { desired: desired === 'all' || newer.desired, after: from, updates: updates === 'all' || newer.updates })
  }

  #set(incarnation: number, again: Again): void {
    if (again.desired || again.after !== null || again.updates) this.#agains.set(incarnation, again)
  }
}

export function askFor(incarnation: number, wanted: Wanted, again: Again = NOTHING): Ask {
  return {
    incarnation,
    desired: !wanted.desired ? 'none' : again.desired ? 'all' : 'due',
    commands: !wanted.commands ? 'none' : again.after !== null ? 'all' : 'due',
    after: again.after ?? 0,
    cancels: wanted.cancels,
    updates: !wanted.updates ? 'none' : again.updates ? 'all' : 'due',
    updateCancels: wanted.updateCancels,
  }
}
