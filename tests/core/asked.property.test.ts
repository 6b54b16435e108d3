/**
 * Whatever comes in whatever order: wishes, answers of a device that obeys some and not others, lost, repeated and late messages, knobs
 * that are turned, commands and their ends, deadlines, and continue-as-new between any two decisions.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { deltaOf, isOutstanding, meets } from '../../twin-models/core/delta.ts'
import type { DecisionEffects } from '../../twin-models/core/effects.ts'
import { evolve } from '../../twin-models/core/evolve.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { mergePatch } from '../../twin-models/core/merge-patch.ts'
import { leavesOf, valueAt } from '../../twin-models/core/pointer.ts'
import type { JsonObject, TwinInput, Value, WishRule } from '../../twin-models/core/types.ts'
import { AskedTwin } from '../support/asked-twin.ts'

type Report = Extract<TwinInput, { kind: 'reported' }>

/** It does what is wished of these; it answers and leaves `stubborn` as it is, and rejects `refused`. */
const OBEYED = ['a', 'b']
const PROPERTIES = [...OBEYED, 'stubborn', 'refused']

const value: fc.Arbitrary<Value> = fc.constantFrom<Value>(0, 1, 2, [1], [], {}, { x: 1 }, { x: 2, y: { z: 1 } }, { y: 3 })
const state = fc.dictionary(fc.constantFrom(...PROPERTIES), value, { maxKeys: 3, noNullPrototype: true })
const patch = fc.dictionary(
  fc.constantFrom(...PROPERTIES),
  fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null), fc.constant({ x: null })),
  {
    maxKeys: 3,
    noNullPrototype: true,
  },
)
const rules = fc.dictionary(
  fc.constantFrom(...PROPERTIES),
  fc.record(
    { wins: fc.constantFrom('desired' as const, 'device' as const, 'newest' as const), deadlineMs: fc.constantFrom(20, 2_000) },
    { requiredKeys: ['wins'], noNullPrototype: true },
  ),
  { noNullPrototype: true },
)

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ step: fc.constant('wish' as const), patch, replace: fc.boolean(), ifVersion: fc.option(fc.nat(3)) }),
  },
  { weight: 5, arbitrary: fc.record({ step: fc.constant('receive' as const), answers: fc.boolean(), whole: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant('knob' as const), patch: state, reports: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('connect' as const) }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant('again' as const), report: fc.nat(20) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      step: fc.constant('command' as const),
      name: fc.constantFrom('lock', 'move', 'blink'),
      repeatable: fc.boolean(),
      ms: fc.nat(60),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ step: fc.constant('answer' as const), command: fc.nat(20), succeeds: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('cancel' as const), command: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('wait' as const), ms: fc.nat(30) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

test('versions only rise, what is told is what is wished and not so, every command has one end, and an obedient device obeys', () => {
  fc.assert(
    fc.property(rules, fc.array(step, { maxLength: 50, size: 'max' }), (wishes, steps) => {
      const run = new Run(wishes)
      for (const one of steps) run.take(one)
      run.settle()
      run.checkEnd(wishes)
    }),
    { numRuns: 1_500 },
  )
})

class Run {
  readonly twin: AskedTwin
  /** What Postgres has: the row of `wishes`, and of every command how often it was let go and ended. */
  row: DecisionEffects['wish']
  readonly released = new Map<string, number>()
  readonly ended = new Map<string, number>()
  readonly ids: string[] = []
  readonly names = new Map<string, string>()
  readonly sent = new Set<string>()
  device: JsonObject = { a: 0, stubborn: 0 }
  readonly reports: Report[] = []
  version = 0

  constructor(wishes: { [property: string]: WishRule }) {
    this.twin = new AskedTwin({ wishes })
  }

  take(one: Step): void {
    const { twin } = this
    switch (one.step) {
      case 'wish': {
        const content = one.replace ? { replace: one.patch as JsonObject } : {}
        this.decided(twin.wish(one.patch as JsonObject, { ...content, ...(one.ifVersion === null ? {} : { ifVersion: one.ifVersion }) }))
        break
      }
      case 'receive':
        this.receive(one.answers, one.whole)
        break
      case 'knob':
        this.device = mergePatch(this.device, one.patch as JsonObject)
        if (one.reports) this.report({ state: one.patch as JsonObject })
        break
      case 'connect':
        this.report({ state: this.device })
        break
      case 'again':
        if (this.reports.length > 0) this.decided(twin.give({ ...this.reports[one.report % this.reports.length]!, at: twin.now }))
        break
      case 'command': {
        const id = `c-${this.ids.length}`
        this.ids.push(id)
        this.names.set(id, one.name)
        const more = one.name === 'lock' ? { onlyLast: true } : one.name === 'move' ? { concurrency: 1 } : {}
        const { name, repeatable, ms } = one
        this.decided(twin.command(id, { name, repeatable, expiresAt: twin.now + ms, ...more }))
        break
      }
      case 'answer': {
        const id = this.#id(one.command)
        if (!this.released.has(id)) break
        this.sent.add(id)
        this.decided(twin.answer(id, one.succeeds ? { status: 'succeeded' } : { status: 'failed', code: 'stuck' }))
        break
      }
      case 'cancel':
        this.decided(twin.cancel(this.#id(one.command)))
        break
      case 'wait':
        twin.now += one.ms
        this.ring()
    }
  }

  #id(n: number): string {
    return this.ids[n % Math.max(this.ids.length, 1)] ?? 'unknown'
  }

  ring(): void {
    const { twin } = this
    if ((nextDeadline(twin.state) ?? Infinity) > twin.now) return
    const at = twin.now
    this.decided(twin.due(at, [...this.sent]))
    expect(nextDeadline(twin.state) ?? Infinity).toBeGreaterThan(at)
  }

  /** The bridge hands it what stands in the row. Its answer may be lost. */
  receive(answers: boolean, whole: boolean): void {
    const body = this.row?.body
    if (!body) return
    const obeyed = Object.entries(body.state).filter(([property]) => OBEYED.includes(property))
    this.device = mergePatch(this.device, Object.fromEntries(obeyed))
    const rejected = 'refused' in body.state ? { rejected: { '/refused': { code: 'no' } } } : {}
    const said = whole ? this.device : Object.fromEntries(obeyed.map(([property]) => [property, this.device[property]!]))
    if (answers) this.report({ state: said, version: body.version, ...rejected })
  }

  report(report: Pick<Report, 'state' | 'version' | 'rejected'>): void {
    const input: Report = { kind: 'reported', at: this.twin.now, ts: this.twin.now, ...structuredClone(report) }
    this.reports.push(input)
    this.decided(this.twin.give(input))
  }

  decided({ effects }: ReturnType<AskedTwin['give']>): void {
    if (effects?.wish) this.row = effects.wish
    for (const id of effects?.released ?? []) {
      expect(this.ended.has(id), `${id} is let go after its end`).toBe(false)
      this.released.set(id, (this.released.get(id) ?? 0) + 1)
    }
    for (const { id } of effects?.ended ?? []) this.ended.set(id, (this.ended.get(id) ?? 0) + 1)
    this.check()
    const carried = JSON.parse(JSON.stringify(this.twin.state))
    expect(carried).toStrictEqual(this.twin.state)
    this.twin.state = carried
  }

  check(): void {
    const { desired, reported, commands } = this.twin.state
    expect(desired.version).toBeGreaterThanOrEqual(this.version)
    this.version = desired.version
    expect(desired.answered).toBeLessThanOrEqual(desired.version)

    const wished = leavesOf(desired.state)
    const outstanding: Array<[string, Value]> = []
    for (const [path, leaf] of Object.entries(desired.leaves)) {
      if (!wished.has(path)) {
        expect(leaf).toMatchObject({ status: 'diverged', reason: 'device' })
        continue
      }
      const isMet = meets(wished.get(path)!, valueAt(reported.state, path))
      expect([path, leaf.status, isMet]).toEqual([path, leaf.status, leaf.status === 'converged'])
      expect(leaf.version).toBeLessThanOrEqual(desired.version)
      if (leaf.status === 'pending') expect(leaf.version).toBeGreaterThan(desired.answered)
      if (isOutstanding(leaf)) outstanding.push([path, wished.get(path)!])
    }
    expect(Object.keys(desired.leaves)).toEqual(expect.arrayContaining([...wished.keys()]))

    expect(this.row?.version ?? 0).toBe(desired.version)
    expect(this.row?.body?.version ?? desired.version).toBe(desired.version)
    expect(new Map(leavesOf(this.row?.body?.state ?? {}))).toEqual(new Map(outstanding))
    if (this.row) expect(this.row.answered).toBe(desired.answered === desired.version)

    expect(Object.keys(reported.at).toSorted()).toEqual([...leavesOf(reported.state).keys()].toSorted())
    expect(commands.filter(({ name, released }) => name === 'move' && released).length).toBeLessThanOrEqual(1)
    expect(commands.filter(({ name }) => name === 'lock').length).toBeLessThanOrEqual(1)
    const waiting = commands.filter(({ released }) => !released)
    for (const { name } of waiting) expect(commands.some((other) => other.name === name && other.released)).toBe(true)
  }

  /** The device is there, hears everything, and its answers come through. */
  settle(): void {
    this.report({ state: this.device })
    for (let round = 0; this.row?.body && !this.row.answered; round++) {
      expect(round).toBeLessThan(4)
      this.receive(true, true)
    }
    this.ring()
    const expiries = this.twin.state.commands.map(({ expiresAt }) => expiresAt)
    this.twin.now = Math.max(this.twin.now, ...expiries)
    this.ring()
  }

  checkEnd(wishes: { [property: string]: WishRule }): void {
    const { state, events } = this.twin
    for (const id of this.ids)
      expect([id, this.ended.get(id), this.released.get(id) ?? 0]).toEqual([id, 1, Math.min(this.released.get(id) ?? 0, 1)])
    expect(state.commands).toEqual([])

    for (const property of OBEYED.filter((name) => wishes[name]?.deadlineMs === undefined))
      expect(this.twin.delta ?? {}).not.toHaveProperty(property)
    for (const [path, { status, reason }] of Object.entries(state.desired.leaves)) {
      if (/^\/[ab]/.test(path)) expect([path, status === 'converged' || reason === 'deadline' || reason === 'device']).toEqual([path, true])
      if (path.startsWith('/refused')) expect(['converged', 'diverged']).toContain(status)
    }

    const rebuilt = events.reduce(evolve, initialState())
    const { desired, reported, commands, endedCommands } = state
    expect({ desired, reported, commands, endedCommands }).toEqual({
      desired: rebuilt.desired,
      reported: rebuilt.reported,
      commands: rebuilt.commands,
      endedCommands: rebuilt.endedCommands,
    })
    expect(decidedPart(rebuilt).delta ?? {}).toEqual(deltaOf(desired.state, reported.state))
  }
}
