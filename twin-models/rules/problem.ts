/** What is wrong with a rule, or doubtful, and where. */
import { FilterError } from '../filter/language.ts'

export interface RuleProblem {
  /** JSON pointer into the rule. */
  path: string
  /** In the text there, counted from 1. */
  position?: number
  detail: string
}

export interface Findings {
  /** It is refused. */
  problems: RuleProblem[]
  /** It is taken, and told. */
  warnings: RuleProblem[]
}

/** What `parse` gives; where it breaks that is noted, and the rest is looked at without it. */
export function parsedAt<T>(path: string, problems: RuleProblem[], parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    problems.push({ path, position: error.position, detail: error.detail })
    return undefined
  }
}

export function sentenceOf({ position, detail }: RuleProblem): string {
  return position === undefined ? detail : `at character ${position}: ${detail}`
}
