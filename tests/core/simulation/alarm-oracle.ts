/**
 * Watches alarms as they become true: a device has at most one of a rule, each is raised once and cleared once, and a twin woken through its inbox
 * decides what one decides that is given every reading (rule-reference.ts), whoever died on the way.
 *
 * Not compared, but for that there is one alarm of a rule at a time: what a twin decides of which
 * - more waited than its inbox holds, so that single readings were merged (inbox-oracle.ts: until nothing waits any more);
 * - its own timer noticed a silence before its lane told of it: presence is another one then, until nothing waits;
 * - a message came after what time had made of the moments that followed it: streams of bridges are read one after the other, or one goes on in
 *   another stream, and how far time has come by then depends on what its inbox told of the later ones;
 * - something went missing in the second before an outage of ours: lanes look once a second, and after it that counts anew.
 * What an event says of values is compared where a message about the only name of the rule decided: others are of about that time.
 */
import type { Decision } from '../../../activities/ports.ts'
import { consume } from '../../../twin-models/core/consume.ts'
import { type InboxFeatures, passed } from '../../../twin-models/core/inbox-features.ts'
import { same } from '../../../twin-models/core/plain.ts'
import { dueAt } from '../../../twin-models/core/rules.ts'
import type { TwinEvent, TwinState } from '../../../twin-models/core/types.ts'
import { isOfRules, type RuleReference, ruleOf } from './rule-reference.ts'
import type { World } from './world.ts'

/** Readings of a week ago count. */
const OLDEST_MS = 7 * 86_400_000

export class AlarmOracle {
  readonly counts = { alarmsRaised: 0, alarmsCleared: 0, alarmsHeld: 0, alarmsCompared: 0, ruleTicks: 0, rulesTold: 0 }
  readonly #world: World
  readonly #blurred = new Set<number>()
  /** By device and rule: how many events the real twin has decided. */
  readonly #decided = new Map<number, Map<string, number>>()
  /** By device and rule: which alarm is there. And by device how many there were. */
  readonly #open = new Map<string, number>()
  readonly #raised = new Map<number, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** Something was merged, or decided in another order than its lane says. */
  blur(incarnation: number): void {
    this.#blurred.add(incarnation)
  }

  /** Nothing waits for it, time neither: what it knows now is what it goes on from. True when that may be something else than was expected. */
  settle(incarnation: number): boolean {
    return this.#blurred.delete(incarnation)
  }

  /** What a twin that nothing waits for knows was judged: looked at once more at the time that it is, nothing is decided. */
  checkRest(incarnation: number, state: TwinState): void {
    // A reading of earlier may begin what has held for long enough since: its lane tells the time next.
    if (Object.keys(state.rules).length === 0 || (dueAt(state) ?? Infinity) <= state.ruleClock) return
    const inputs = [{ kind: 'tick' as const, at: state.ruleClock }]
    const { events } = consume(state, { seq: state.seq + 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs } }, 0)
    if (events.some(isOfRules))
      this.#world.fail(
        'what is known was judged',
        `device ${incarnation} would decide ${JSON.stringify(events)} in ${JSON.stringify(state)}`,
      )
  }

  /** Its inbox row is to be written. `full`: more waited than it holds. */
  checkRow(incarnation: number, ruled: RuleReference, row: InboxFeatures | null, graceSince: number, full: boolean): void {
    const differing = differences(row, ruled.features, ruled.clock, graceSince)
    const isExcused = ruled.hadOutage && differing.every((name) => name.startsWith('missing('))
    if (differing.length > 0 && !isExcused)
      this.#world.fail(
        'functions of readings are kept up with every reading',
        `device ${incarnation}, ${differing}\n  is       ${JSON.stringify(row)}\n  expected ${JSON.stringify(ruled.features)}`,
      )
    if (differing.length > 0) ruled.features = structuredClone(row)
    if (differing.length > 0 || ruled.isDisordered || full) this.#blurred.add(incarnation)
    ruled.hadOutage = ruled.isDisordered = false
  }

  isCompared(incarnation: number): boolean {
    return !this.#blurred.has(incarnation)
  }

  decidedOf(incarnation: number): Map<string, number> {
    const known = this.#decided.get(incarnation) ?? new Map<string, number>()
    this.#decided.set(incarnation, known)
    return known
  }

  decided({ incarnation, seq, events, answers }: Decision, sealed: string | undefined, reference: RuleReference | undefined): void {
    const isFirst = seq === 1
    if (sealed?.includes('"kind":"tick"')) this.counts.ruleTicks++
    for (const event of events.filter(isOfRules)) {
      const of = ruleOf(event)
      this.#count(incarnation, event)
      const counts = this.decidedOf(incarnation)
      const n = counts.get(of) ?? 0
      counts.set(of, n + 1)
      if (reference && this.isCompared(incarnation)) this.#compare(incarnation, event, n, reference, isFirst)
    }
    if (sealed === undefined || !reference || !this.isCompared(incarnation)) return
    for (const { request, answer } of answers) {
      if (!sealed.includes(`"kind":"alarm"`) || !isAlarmAsk(sealed, request)) continue
      if ('refused' in (answer as object) !== reference.refused.has(request))
        this.#world.fail('who asks for an alarm that is not there is refused', `device ${incarnation}: ${JSON.stringify(answer)}`)
    }
  }

  #compare(incarnation: number, event: TwinEvent, n: number, { decided, several, saysOthers }: RuleReference, isFirst: boolean): void {
    this.counts.alarmsCompared++
    const of = ruleOf(event)
    const expected = decided.get(of)?.[n]
    const isExact = !several.has(of) && event.cause.by === 'message' && !isFirst
    // Which of the alarms of its device it is depends on the order within a moment.
    // One that goes still says what it said when it came.
    const isOfNow = isExact && !saysOthers.has(of) && event.kind !== 'alarm-cleared'
    const left = ['n', ...(isExact ? [] : ['values']), ...(isOfNow ? [] : ['text'])]
    const [is, wanted] = [textOf(event, left), expected ? textOf(expected, left) : 'nothing']
    if (is !== wanted)
      this.#world.fail(
        'a woken twin raises and clears what one given every reading does',
        `device ${incarnation} decides\n  ${is}\nexpected\n  ${wanted}`,
      )
  }

  #count(incarnation: number, event: TwinEvent): void {
    if (event.kind === 'rules-changed') this.counts.rulesTold++
    if (!event.kind.startsWith('alarm-')) return
    const key = `${incarnation} ${ruleOf(event)}`
    const n = event.kind === 'alarm-raised' ? event.alarm.n : (event as { n: number }).n
    const open = this.#open.get(key)
    const name = `device ${incarnation}: ${JSON.stringify(event)}`
    if (event.kind === 'alarm-raised') {
      this.counts.alarmsRaised++
      if (event.cause.by === 'timer') this.counts.alarmsHeld++
      if (open !== undefined) this.#world.fail('no alarm is raised twice', `${name}, ${open} is there`)
      if (event.at < this.#world.startedAt - OLDEST_MS) this.#world.fail('no alarm is of a time before its rule', name)
      if (n !== (this.#raised.get(incarnation) ?? 0) + 1) this.#world.fail('alarms of a twin are counted', name)
      this.#raised.set(incarnation, n)
      this.#open.set(key, n)
    } else if (open !== n) this.#world.fail('only what is there is told of', `${name}, ${open} is there`)
    else if (event.kind === 'alarm-cleared') {
      this.counts.alarmsCleared++
      this.#open.delete(key)
    }
  }
}

/** Names of functions that are not the same, as far as time has come in both; 'rules' where those of others are compared. */
function differences(row: InboxFeatures | null, expected: InboxFeatures | null, until: number, graceSince: number): string[] {
  const [is, should] = [row, expected].map((features) => (features ? structuredClone(features) : NONE)) as [InboxFeatures, InboxFeatures]
  for (const each of [is, should]) passed(each, until, graceSince)
  if (!same(is.rules, should.rules)) return ['rules']
  return Object.keys({ ...is.known, ...should.known }).filter((name) => !same(is.known[name], should.known[name]))
}

const NONE: InboxFeatures = { rules: {}, known: {} }

function isAlarmAsk(sealed: string, request: string): boolean {
  const { inputs } = JSON.parse(sealed) as { inputs: Array<{ kind: string; request?: string }> }
  return inputs.some((input) => input.kind === 'alarm' && input.request === request)
}

function textOf(event: TwinEvent, left: string[]): string {
  return JSON.stringify(event, (key, value) => (left.includes(key) ? undefined : value))
}
