/**
 * Whatever comes in whatever order to a twin that is asked for updates: requests, again and against each other, cancels, devices that boot, return,
 * lie, fall silent, sleep, complain, raise alarms and are repaired, bridges that tell late or never, rows that cannot be read, and time that goes on.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Step as Decided } from '../../twin-models/core/consume.ts'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { UpdateChange } from '../../twin-models/core/effects.ts'
import { evolve } from '../../twin-models/core/evolve.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { reportOf } from '../../twin-models/core/report.ts'
import type { Firmware, ToldUpdate, TwinEvent, UpdateRequest } from '../../twin-models/core/types.ts'
import { hotRule } from '../support/alarms.ts'
import { AskedTwin } from '../support/asked-twin.ts'

const ENDS = new Set(['healthy', 'failed', 'rolled-back', 'timed-out', 'rejected', 'cancelled', 'skipped'])

const firmware: fc.Arbitrary<Firmware> = fc
  .tuple(fc.constantFrom('1', '2', '3'), fc.constantFrom('right', 'right', 'right', 'other', undefined))
  .map(([version, hash]) => ({ version, ...(hash && { sha256: `${hash}-${version}` }) }))
const health = fc.record({ ok: fc.constantFrom(true, true, true, false), battery: fc.constantFrom(20, 80) }, { noNullPrototype: true })
const request = fc.record(
  {
    rollout: fc.constant('r'),
    kind: fc.constantFrom('install' as const, 'rollback' as const),
    firmware: fc.constantFrom('1', '2', '3').map((version) => ({ version, sha256: `right-${version}` })),
    fromVersions: fc.subarray(['1', '2', '3'], { minLength: 2 }),
    minBattery: fc.constant(50),
    /** Relative to now: made times when it is asked. */
    windows: fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 1, max: 60 })), { maxLength: 4 }),
    offerUntil: fc.integer({ min: -5, max: 200 }),
    installMs: fc.integer({ min: 1, max: 60 }),
    soakMs: fc.constantFrom(0, 10, 40),
    silenceMs: fc.constantFrom(5, 50),
    attempts: fc.integer({ min: 1, max: 3 }),
    retryMs: fc.integer({ min: 4, max: 30 }),
    precedence: fc.nat(3),
  },
  {
    requiredKeys: ['kind', 'firmware', 'offerUntil', 'installMs', 'soakMs', 'silenceMs', 'attempts', 'retryMs', 'precedence'],
    noNullPrototype: true,
  },
)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ step: fc.constant('request' as const), request }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('again' as const), of: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('cancel' as const), of: fc.nat(9) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      step: fc.constant('hello' as const),
      how: fc.constantFrom('online', 'online', 'goodbye', 'will'),
      firmware: fc.option(firmware),
      health: fc.option(health),
    }),
  },
  { weight: 5, arbitrary: fc.record({ step: fc.constant('boot' as const), health: fc.option(health) }) },
  { weight: 1, arbitrary: fc.constant({ step: 'life' as const }) },
  { weight: 2, arbitrary: fc.constant({ step: 'silent' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      step: fc.constant('answer' as const),
      of: fc.option(fc.nat(9)),
      status: fc.constantFrom('failed', 'failed', 'rejected'),
      code: fc.constantFrom('locked', 'download-failed', 'broken'),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ step: 'tell' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ step: fc.constant('word' as const), word: fc.constantFrom('downloading', 'installing', 'rebooting') }),
  },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('read' as const), value: fc.constantFrom(20, 20, 31, 61) }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant('maintain' as const), ms: fc.option(fc.integer({ min: 1, max: 90 })) }) },
  {
    weight: 6,
    arbitrary: fc.record({ step: fc.constant('wait' as const), ms: fc.nat(60), row: fc.constantFrom(true, true, true, false) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

test('at most one update is under way, each has one end when time goes on, and its row is told of all that it must know', () => {
  const ends = new Map<string, number>()
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const run = new Run()
      for (const one of steps) run.take(one)
      run.settle()
      run.checkEnd()
      for (const { status } of run.rows.values()) ends.set(status, (ends.get(status) ?? 0) + 1)
    }),
    { numRuns: 800 },
  )
  // It must come to all of them to show anything.
  expect([...ends.keys()].toSorted()).toEqual([...ENDS].toSorted())
})

/** A row of `updates`. */
interface Row {
  status: string
  sentAt: number | null
  /** It is to be told. */
  until: number | null
  ended: number
}

class Run {
  readonly twin = new AskedTwin()
  readonly rows = new Map<string, Row>()
  readonly requests: UpdateRequest[] = []
  /** How often each attempt was put off because the device could not just then. */
  readonly waits = new Map<string, number>()
  /** Alarms that were critical when the update under way began to soak. */
  criticalBefore: number[] = []
  readonly critical = new Set<number>()

  constructor() {
    this.twin.give({ kind: 'rules', at: this.twin.now, set: [hotRule()], removed: [] })
  }

  take(one: Step): void {
    const { twin } = this
    switch (one.step) {
      case 'request': {
        const { windows, offerUntil, ...rest } = one.request
        const id = `u-${this.requests.length}`
        this.ask({ id, by: 'ann', ...rest, ...(windows && { windows: inOrder(windows, twin.now) }), offerUntil: twin.now + offerUntil })
        break
      }
      case 'again': {
        const known = this.requests[one.of % Math.max(this.requests.length, 1)]
        // As long as it is remembered.
        const isKnown = known && (twin.state.update?.id === known.id || twin.state.endedUpdates.some(({ id }) => id === known.id))
        if (!isKnown) break
        const { events } = this.decided(twin.give({ kind: 'update', at: twin.now, request: 'r', update: known }))
        expect(events.filter(({ kind }) => kind !== 'maintenance-changed')).toEqual([])
        break
      }
      case 'cancel': {
        const id = this.id(one.of)
        const isActive = twin.state.update?.id === id
        const { answers } = this.decided(twin.cancelUpdate(id))
        expect(answers[0]?.answer).toMatchObject({ id, cancelled: isActive })
        break
      }
      case 'hello': {
        const status = one.how === 'online' ? 'online' : 'offline'
        const said = { ...(one.firmware && { firmware: one.firmware }), ...(one.health && { health: one.health }) }
        this.decided(twin.hello({ status, ...(one.how === 'will' ? { will: true } : said) }))
        break
      }
      case 'boot': {
        const { update } = twin.state
        if (update) this.decided(twin.hello({ firmware: update.firmware, ...(one.health && { health: one.health }) }))
        break
      }
      case 'life':
        this.decided(twin.give({ kind: 'life', at: twin.now }))
        break
      case 'silent':
        this.decided(twin.give({ kind: 'silent', at: twin.now, lastSeenAt: twin.state.presence.lastSeenAt }))
        break
      case 'answer': {
        const id = one.of === null ? twin.state.update?.id : this.id(one.of)
        if (id !== undefined) this.decided(twin.answerUpdate(id, one.status as 'failed', one.code))
        break
      }
      case 'tell': {
        for (const row of this.rows.values()) if (row.until !== null && twin.now < row.until) row.sentAt = twin.now
        break
      }
      case 'word': {
        const row = twin.state.update && this.rows.get(twin.state.update.id)
        if (!row || row.sentAt === null || row.status === 'soaking') break
        row.status = one.word
        if (one.word === 'installing' || one.word === 'rebooting')
          this.decided(twin.give({ kind: 'update-step', at: twin.now, id: twin.state.update!.id, status: one.word }))
        break
      }
      case 'read':
        this.decided(twin.give({ kind: 'reading', at: twin.now, ts: twin.now, name: 'temperature', value: one.value }))
        break
      case 'maintain':
        this.decided(twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'ann', until: one.ms && twin.now + one.ms }))
        break
      case 'wait':
        twin.now += one.ms
        this.ring(one.row)
    }
  }

  id(n: number): string {
    return this.requests[n % Math.max(this.requests.length, 1)]?.id ?? 'unknown'
  }

  ask(update: UpdateRequest): void {
    const { twin } = this
    this.requests.push(update)
    this.rows.set(update.id, { status: 'scheduled', sentAt: null, until: null, ended: 0 })
    const { answers, events } = this.decided(twin.give({ kind: 'update', at: twin.now, request: 'r', update }))
    const end = events.find((event) => event.kind === 'update-ended' && event.id === update.id)
    const refused = end && 'code' in end ? { refused: end.code } : {}
    expect(answers).toEqual([{ request: 'r', answer: { revision: twin.state.revision, seq: twin.state.seq, id: update.id, ...refused } }])
  }

  ring(isReadable: boolean): void {
    const { twin } = this
    if ((nextDeadline(twin.state) ?? Infinity) > twin.now) return
    const at = twin.now
    const id = twin.state.update!.id
    const row = this.rows.get(id)!
    const told: ToldUpdate | undefined = isReadable ? { id, sentAt: row.sentAt, status: row.status } : undefined
    const { events } = this.decided(twin.due(at, [], told))
    expect(events).not.toEqual([])
    expect(nextDeadline(twin.state) ?? Infinity).toBeGreaterThan(at)
  }

  decided(step: Decided): Decided {
    for (const event of step.events) this.count(event)
    this.seeAlarms(step.events)
    const changes = step.effects?.updates ?? []
    expect(new Set(changes.map(({ id }) => id)).size).toBe(changes.length)
    for (const change of changes) this.write(change)
    this.check()
    const carried = JSON.parse(JSON.stringify(this.twin.state))
    expect(carried).toStrictEqual(this.twin.state)
    this.twin.state = carried
    return step
  }

  /** What costs no attempt is doubled by what it was put off already, and never goes on faster than was asked. */
  count(event: TwinEvent): void {
    if (event.kind !== 'update-postponed' || !['locked', 'low-battery'].includes(event.code)) return
    const { id, attempt, at, deadlineAt } = event
    const { retryMs, offerUntil } = this.requests.find((request) => request.id === id)!
    const before = this.waits.get(`${id} ${attempt}`) ?? 0
    this.waits.set(`${id} ${attempt}`, before + 1)
    expect(deadlineAt - at).toBeGreaterThanOrEqual(Math.min(retryMs, offerUntil - at))
    expect(deadlineAt - at).toBeLessThanOrEqual(Math.max(retryMs, Math.min(retryMs * 2 ** before, (offerUntil - at) / 2)))
  }

  /** Which were critical when it began to soak: by the events alone. */
  seeAlarms(events: TwinEvent[]): void {
    for (const event of events) {
      if (event.kind === 'update-soaking') this.criticalBefore = [...this.critical]
      if (event.kind === 'alarm-cleared') this.critical.delete(event.n)
      const severity = event.kind === 'alarm-raised' ? event.alarm.severity : event.kind === 'alarm-updated' ? event.severity : undefined
      if (severity === 'critical') this.critical.add(event.kind === 'alarm-raised' ? event.alarm.n : (event as { n: number }).n)
    }
  }

  /** As the decision write does it. */
  write({ id, status, attempt, release, withdraw, code, tell }: UpdateChange): void {
    const row = this.rows.get(id)!
    expect(row.ended, `${id} is changed after its end`).toBe(0)
    if (release) {
      expect([withdraw, status ?? 'scheduled', release.attempt]).toEqual([undefined, 'scheduled', attempt])
      expect(release.until).toBeGreaterThanOrEqual(this.twin.state.update!.requestedAt)
      expect(this.twin.state.maintenance?.until ?? 0, 'it is let go while its device is in maintenance').toBeLessThanOrEqual(this.twin.now)
      Object.assign(row, { status: 'scheduled', until: release.until, sentAt: null })
    }
    if (withdraw) row.until = null
    if (status === 'scheduled') row.sentAt = null
    if (status) row.status = status
    if (status === 'scheduled' && !release) expect(code).toBeDefined()
    if (status && ENDS.has(status)) row.ended++
    expect(tell ?? false).toBe(status === 'cancelled' || status === 'timed-out')
  }

  /** What the twin carries and what stands in the rows is the same. */
  check(): void {
    const { update, endedUpdates, presence } = this.twin.state
    const open = [...this.rows].filter(([, { ended }]) => ended === 0)
    expect(open.map(([id]) => id)).toEqual(update ? [update.id] : [])
    expect(endedUpdates.length).toBeLessThanOrEqual(5)
    expect(JSON.stringify(this.twin.state).length).toBeLessThan(5_000)
    expect(reportOf({ tenant: 'demo', device: 't-1', incarnation: 1 }, this.twin.state)).not.toContain('undefined')
    if (!update) return
    const row = this.rows.get(update.id)!
    expect([row.until, row.status === 'soaking']).toEqual([update.phase === 'released' ? update.until : null, update.phase === 'soaking'])
    expect(update.attempt).toBeLessThanOrEqual(update.attempts)
    expect(update.waits).toBe(this.waits.get(`${update.id} ${update.attempt}`))
    expect(decidedPart(this.twin.state).update?.status).toBe(update.phase === 'soaking' ? 'soaking' : 'scheduled')
    if (update.phase !== 'soaking') return
    expect(this.twin.state.firmware).toEqual(update.firmware)
    const alarm = this.twin.state.alarms.hot
    if (alarm?.severity === 'critical' && !alarm.muted) expect(this.criticalBefore).toContain(alarm.n)
    expect(update.deadlineAt).toBeLessThanOrEqual(update.giveUpAt!)
    const isThere = presence.status === 'online' || presence.reason === 'goodbye'
    expect(update.soakingSince !== undefined).toBe(isThere)
  }

  /** Time goes on, and nothing else happens. */
  settle(): void {
    for (let rounds = 0; nextDeadline(this.twin.state) !== undefined; rounds++) {
      expect(rounds, 'it comes to an end').toBeLessThan(100)
      this.twin.now = Math.max(this.twin.now, nextDeadline(this.twin.state)!)
      this.ring(true)
    }
  }

  checkEnd(): void {
    const { state, events } = this.twin
    expect([...this.rows.values()].filter(({ ended, status }) => ended !== 1 || !ENDS.has(status))).toEqual([])
    for (const { id } of this.requests) {
      const mine = events
        .filter((event) => ('update' in event ? event.update.id : 'id' in event && event.id) === id)
        .map(({ kind }) => kind)
      expect([mine[0], mine.at(-1)]).toEqual(['update-requested', 'update-ended'])
      expect(mine.filter((kind) => kind === 'update-requested' || kind === 'update-ended')).toHaveLength(2)
    }
    const { update, endedUpdates, firmware } = events.reduce(evolve, initialState())
    expect({ update, endedUpdates, firmware }).toEqual({ update: state.update, endedUpdates: state.endedUpdates, firmware: state.firmware })
  }
}

/** [from, until), one after another. */
function inOrder(windows: Array<[gap: number, length: number]>, now: number): Array<[from: number, until: number]> {
  let at = now - 40
  return windows.map(([gap, length]): [number, number] => {
    const from = at + gap
    at = from + length
    return [from, at]
  })
}
