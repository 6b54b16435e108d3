/** Functions of readings in the row of their device: what is written when, and that it comes back as it was. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type FeatureColumns, FeatureTexts, featuresOf } from '../../api/ingest/feature-texts.ts'
import { fedBy, type InboxFeatures, passed, withRules } from '../../twin-models/core/inbox-features.ts'
import type { TwinRule } from '../../twin-models/core/types.ts'

const CHANGE = 'change(t,16000)'
const DEVIATION = 'deviation(t,60000)'
const MISSING = 'missing(t,60000)'
const COUNT = 'count(t>5,60000,3)'

test('what is stored after each message is what it was, whatever happened', () => {
  const reading = fc.record({ name: fc.constantFrom('t', 'other'), value: fc.constantFrom(1, 7.25, 1e300, -0.1, 'off', true) })
  const step = fc.record({ ms: fc.integer({ min: 0, max: 30_000 }), readings: fc.array(reading, { maxLength: 3 }), rules: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let features: InboxFeatures | null = withRules(null, { set: [ruleOf('a', CHANGE), ruleOf('b', MISSING)], removed: [] }, 1).features
      const row = new Row(null)
      row.write(features)
      let at = 1
      for (const { ms, readings, rules } of steps) {
        at += ms
        if (rules) features = withRules(features, { set: [ruleOf('c', COUNT, DEVIATION)], removed: ['a'] }, at).features
        passed(features!, at)
        for (const { name, value } of readings) fedBy(features!, { name, value, ts: at, receivedAt: at })
        row.write(features)
        expect(featuresOf(row.columns)).toEqual(features)
      }
      row.write(null)
      expect(featuresOf(row.columns)).toBeNull()
    }),
  )
})

test('a reading writes values alone, unless what is kept of a function changed; names come with rules only', () => {
  const { features } = withRules(null, { set: [ruleOf('a', CHANGE, COUNT), ruleOf('b', MISSING, DEVIATION)], removed: [] }, 1)
  const texts = new FeatureTexts(null)
  const feed = (at: number, value: number) => {
    fedBy(features!, { name: 't', value, ts: at, receivedAt: at })
    const { ruled, stated, features: names, featureStates } = texts.change(features, false)
    expect([names !== null, featureStates !== null]).toEqual([ruled, stated])
    return { ruled, stated }
  }
  expect(feed(1_000, 1)).toEqual({ ruled: true, stated: true })
  // What is usual is not known before there are thirty.
  for (let n = 1; n <= 30; n++) feed(1_000 + n, n)
  expect(feed(1_100, 2)).toEqual({ ruled: false, stated: false })
  // A sixteenth of its window later `change` keeps one more, and a 256th later `deviation`.
  expect(feed(2_031, 3)).toEqual({ ruled: false, stated: true })
  expect(feed(2_100, 4)).toEqual({ ruled: false, stated: false })
  // It counts.
  expect(feed(2_200, 6)).toEqual({ ruled: false, stated: true })
  // The change of rules is another one, and the rules are the same.
  expect(texts.change(features, true)).toMatchObject({ ruled: true, stated: false, features: expect.stringContaining('change') })
})

class Row {
  columns: FeatureColumns = { features: null, featureStates: null, featureValues: null }
  readonly #texts: FeatureTexts

  constructor(features: InboxFeatures | null) {
    this.#texts = new FeatureTexts(features)
  }

  write(features: InboxFeatures | null): void {
    const { ruled, stated, ...columns } = this.#texts.change(features, false)
    this.columns = {
      features: ruled ? columns.features : this.columns.features,
      featureStates: stated ? columns.featureStates : this.columns.featureStates,
      featureValues: columns.featureValues,
    }
  }
}

function ruleOf(id: string, ...names: string[]): TwinRule {
  const terms = names.map((name): TwinRule['when'] => ({ kind: 'compare', path: ['telemetry', name, 'value'], comparison: '>', value: 5 }))
  const when: TwinRule['when'] = { kind: 'and', terms }
  return { id, version: 1, severity: 'minor', text: ['hot'], when, forMs: 0, clearForMs: 0, lateMs: 300_000, onChange: 'keep' }
}
