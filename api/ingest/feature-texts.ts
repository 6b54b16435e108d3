/**
 * Functions of readings (core/inbox-features.ts) as they are stored. The row of an inbox is written with every message, so they stand by how often
 * they change: which there are, with the rules; what is kept of most of them, now and then; their values, and all that is short and changes with
 * each reading, every time. Only the last is in that row.
 */
import { featureNamed } from '../../twin-models/core/features.ts'
import { type InboxFeatures, type Known, namesCompared } from '../../twin-models/core/inbox-features.ts'
import type { InboxRow } from './lane-store.ts'

/** All JSON; `states` and `values` by the order of `namesCompared`. */
export type FeatureColumns = Pick<InboxRow, 'features' | 'featureStates' | 'featureValues'>

export interface FeatureChange extends FeatureColumns {
  /** features differs from the row. */
  ruled: boolean
  /** featureStates differs from the row. */
  stated: boolean
}

export class FeatureTexts {
  /** As they stand in the row. */
  #rules: InboxFeatures['rules'] | null
  #known: Known[]

  constructor(features: InboxFeatures | null) {
    this.#rules = features?.rules ?? null
    this.#known = features ? Object.values(features.known) : []
  }

  /** What is to be written now; with `again` also rules that are the same. Whoever asked writes it, or drops the device. */
  change(features: InboxFeatures | null, again: boolean): FeatureChange {
    const rules = features?.rules ?? null
    const known = features ? Object.entries(features.known) : []
    const isOther = rules !== this.#rules
    const ruled = isOther || again
    const stated = isOther || known.some(([name, [, state]], i) => state !== this.#known[i]![1] && !isShort(name))
    this.#rules = rules
    this.#known = known.map(([, entry]) => entry)
    return {
      ruled,
      stated,
      features: ruled && rules ? JSON.stringify(rules) : null,
      featureStates: stated && features ? JSON.stringify(known.map(([name, [, state]]) => (isShort(name) ? [] : state))) : null,
      featureValues: features ? JSON.stringify(known.map(([name, [value, state]]) => (isShort(name) ? [value, ...state] : value))) : null,
    }
  }
}

export function featuresOf({ features, featureStates, featureValues }: FeatureColumns): InboxFeatures | null {
  if (features === null) return null
  const rules: InboxFeatures['rules'] = JSON.parse(features)
  const states = JSON.parse(featureStates!)
  const values = JSON.parse(featureValues!)
  const known = [...namesCompared(rules)].map((name, i): [string, Known] => {
    if (!isShort(name)) return [name, [values[i], states[i]]]
    const [value, ...state] = values[i]
    return [name, [value, state]]
  })
  return { rules, known: Object.fromEntries(known) }
}

/** Its state is short, and changes with every reading. */
function isShort(name: string): boolean {
  const { kind } = featureNamed(name)
  return kind === 'missing' || kind === 'health'
}
