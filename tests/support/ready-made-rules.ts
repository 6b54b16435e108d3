/** Rules whose body is what a twin carries: for what is below the rule language. */
import type { MakeRules } from '../../api/ingest/rule-book.ts'
import type { TwinRule } from '../../twin-models/core/types.ts'

export const readyMade: MakeRules = (rows) => {
  const rules = rows.map(({ model, body }) => ({ model, rule: JSON.parse(body) as TwinRule }))
  return (facts) => rules.filter(({ model }) => (model ?? facts.model) === facts.model).map(({ rule }) => rule)
}
