/** What filters are made of, their limits, and how one that breaks is refused. What they mean: parse.ts. */
import { CastorError } from '../errors.ts'

export type Literal = string | number | boolean
export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>='
export type Path = [root: string, ...rest: string[]]

export type Filter = Tree<Path, Literal>

/** What is compared, and with what: in a filter a path with a literal. */
export type Tree<Subject, Right> =
  | { kind: 'and' | 'or'; terms: Array<Tree<Subject, Right>> }
  | { kind: 'not'; term: Tree<Subject, Right> }
  | { kind: 'compare'; path: Subject; comparison: Comparison; value: Right }
  | { kind: 'in'; path: Subject; values: Literal[] }
  | { kind: 'like'; path: Subject; pattern: string }
  | { kind: 'exists'; path: Subject }

export const FILTER_LIMITS = { length: 2048, depth: 16, literals: 64, segments: 12, wildcards: 8 } as const

/** The parts of the twin document (docs/architecture.md §10). A path that starts elsewhere is a mistake worth telling. */
export const DOCUMENT_PARTS = [
  'id',
  'tenant',
  'model',
  'modelVersion',
  'revision',
  'status',
  'attributes',
  'presence',
  'telemetry',
  'ranges',
  'reported',
  'desired',
  'delta',
  'firmware',
  'health',
  'update',
  'clock',
  'alarms',
  'maintenance',
  'createdAt',
  'updatedAt',
] as const

/** Functions of readings (twin-models/rules/parse.ts). */
export const FUNCTIONS = ['change', 'count', 'deviation', 'distance', 'missing'] as const

export class FilterError extends CastorError {
  /** Counted from 1, in characters. */
  readonly position: number
  readonly detail: string

  /** `noun`: of what. */
  constructor(position: number, detail: string, noun = 'filter') {
    super('invalid', `The ${noun} is not valid at character ${position}: ${detail}`)
    this.name = 'FilterError'
    this.position = position
    this.detail = detail
  }
}
