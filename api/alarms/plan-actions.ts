/** What turns of alarms mean: the actions of their rules that are to be carried out, those that are cut, and what is said of that. Pure. */
import { type ActingAlarm, CHAIN, type CutBy, cutOf, depthOf, LOOP, tellsOf } from '../../twin-models/core/action-guard.ts'
import { actionId } from './action-id.ts'
import type { AlarmTurn, CutReason, NewAction, Past, Planned } from './ports.ts'
import { acts, nameOf, type RuleAction, ruleActionOf, turnOf } from './rule-action.ts'

/** Of one tenant may wait at a time. */
export const MOST_WAITING = 50_000

const REASONS: { [cut in CutReason]: string } = {
  maintenance: 'The device was in maintenance.',
  loop: `The rule has acted on the device for ${LOOP.alarms} alarms within ${LOOP.windowMs / 60_000} minutes: it may set off itself.`,
  chain: `Rules have set off each other over ${CHAIN.depth} devices.`,
  crowd: `${MOST_WAITING} actions of the tenant waited already.`,
}

/** In the order of the outbox. */
export function planActions(turns: AlarmTurn[], past: Past): Planned {
  const plan = new Plan(past)
  for (const turn of turns) plan.add(turn)
  return plan.planned
}

class Plan {
  readonly planned: Planned = { actions: [], told: [] }
  readonly #past: Past
  readonly #acting = new Map<string, ActingAlarm[]>()
  readonly #depths = new Map<string, number>()
  readonly #waiting = new Map<string, number>()

  constructor(past: Past) {
    this.#past = past
  }

  add(turn: AlarmTurn): void {
    const held = turn.isHeard ? this.#heldPlaces(turn) : undefined
    const now = turn.actions.flatMap((stored, place) => {
      if (held && !held.has(place)) return []
      const action = ruleActionOf(stored)
      if (action ? turnOf(action) !== turn.turn : kindOf(stored) === 'notify' || turn.turn !== 'raised') return []
      return [{ stored, action, place }]
    })
    if (now.length === 0) return
    const depth = this.#depth(turn)
    const cut = now.some(({ action }) => action && acts(action)) ? this.#judge(turn, depth) : undefined
    for (const { stored, action, place } of now) this.#write(turn, depth, { stored, action, place }, cut)
  }

  /** Also of those that were planned a moment ago. */
  #heldPlaces({ incarnation, n }: AlarmTurn): Set<number> {
    const here = this.planned.actions.filter((action) => action.incarnation === incarnation && action.n === n && isHeld(action))
    return new Set([...this.#past.heldPlaces(incarnation, n), ...here.map(({ place }) => place)])
  }

  /** Of an alarm that is cleared: as it was when it was raised. */
  #depth({ incarnation, n, at, heldMs }: AlarmTurn): number {
    const key = `${incarnation}-${n}`
    const known = this.#depths.get(key) ?? this.#past.depth(incarnation, n)
    const depth = known ?? depthOf(this.#past.deeds(incarnation), { incarnation, began: at - heldMs })
    this.#depths.set(key, depth)
    return depth
  }

  #judge({ tenant, incarnation, device, rule, version, n, at, muted, isHeard }: AlarmTurn, depth: number): CutBy | undefined {
    const line = JSON.stringify([incarnation, rule])
    const known = this.#acting.get(line) ?? this.#past.acting(incarnation, rule)
    // As if it were raised now.
    const before = isHeard ? known.filter((alarm) => alarm.n !== n) : known
    const cut = cutOf(before, { n, at, depth, muted })
    if (tellsOf(before, { n, at }, cut)) {
      const event = { kind: 'rule-cut', at, rule, version, n, reason: cut, detail: REASONS[cut] } as const
      this.planned.told.push({ tenant, incarnation, device, event })
    }
    const isKnown = before.some((alarm) => alarm.n === n)
    this.#acting.set(line, isKnown ? before : [...before, { n, at, ...(cut && { cut }) }])
    return cut
  }

  #write(turn: AlarmTurn, depth: number, { stored, action, place }: Stored, cut: CutReason | undefined): void {
    const { tenant, incarnation, device, n, rule, version, at, severity, text, values } = turn
    const written: NewAction = {
      ...{
        id: actionId({ incarnation, n, turn: turn.turn, place }),
        tenant,
        incarnation,
        device,
        n,
        rule,
        version,
        turn: turn.turn,
        place,
      },
      ...{ kind: action?.kind ?? kindOf(stored), name: action ? nameOf(action) : null, alarm: { severity, text, values }, at, depth },
      state: 'waiting',
    }
    const planned = { ...written, ...this.#ends(turn, action, cut) }
    const before = turn.isHeard ? this.planned.actions.findIndex(({ id }) => id === planned.id) : -1
    if (before === -1) this.planned.actions.push(planned)
    else this.planned.actions[before] = planned
  }

  /** How it ends before it begins, if it does. */
  #ends({ tenant, muted }: AlarmTurn, action: RuleAction | undefined, cut: CutReason | undefined): Partial<NewAction> {
    if (!action) return { state: 'failed', error: 'This is no action that this version of Castor knows.' }
    const why = acts(action) ? cut : muted && action.kind === 'ticket' ? 'maintenance' : undefined
    if (why) return { state: 'cut', cutBy: why, error: REASONS[why] }
    const waiting = this.#waiting.get(tenant) ?? this.#past.waiting(tenant)
    if (waiting >= MOST_WAITING) return { state: 'cut', cutBy: 'crowd', error: REASONS.crowd }
    this.#waiting.set(tenant, waiting + 1)
    return {}
  }
}

function isHeld({ turn, cutBy }: NewAction): boolean {
  return turn === 'raised' && cutBy === 'maintenance'
}

interface Stored {
  stored: unknown
  action: RuleAction | undefined
  place: number
}

function kindOf(stored: unknown): string {
  const kind = (stored as { kind?: unknown } | null)?.kind
  return typeof kind === 'string' ? kind.slice(0, 100) : 'unknown'
}
