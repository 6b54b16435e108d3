/**
 * A filter compiled to SQL over `devices d left join twin_inbox i`: the same meaning as evaluate.ts.
 *
 * Every leaf is true or false, never null, and never raises, whatever stands in the documents: types are asked before anything is cast.
 * The text depends on the shape of the filter only; names and values are parameters, so a shape is prepared once.
 */
import type { Filter, Literal, Path } from './parse.ts'

export interface CompiledFilter {
  /** A boolean SQL expression. */
  where: string
  parameters: string[]
  /** An index narrows it: it demands an attribute to equal something. */
  indexed: boolean
}

/** `first` is the number of the first parameter that it may use. */
export function compileFilter(filter: Filter, first = 1): CompiledFilter {
  const parameters: string[] = []
  const parameter: Parameter = (value, type) => {
    parameters.push(value)
    return `$${first + parameters.length - 1}::${type}`
  }
  return { where: conditionOf(filter, parameter), parameters, indexed: isIndexed(filter) }
}

function isIndexed(filter: Filter): boolean {
  if (filter.kind === 'and') return filter.terms.some(isIndexed)
  return filter.kind === 'compare' && filter.comparison === '=' && filter.path[0] === 'attributes' && filter.path.length > 1
}

type Parameter = (value: string, type: 'text' | 'numeric' | 'text::jsonb') => string

function conditionOf(filter: Filter, parameter: Parameter): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return `(${filter.terms.map((term) => conditionOf(term, parameter)).join(` ${filter.kind} `)})`
    case 'not':
      return `(not ${conditionOf(filter.term, parameter)})`
    case 'exists':
      return existsIn(fieldOf(filter.path, parameter))
    case 'in':
      return `(${filter.values.map((value) => equals(filter.path, value, parameter)).join(' or ')})`
    case 'like':
      return textTest(fieldOf(filter.path, parameter), (text) => `${text} like ${parameter(filter.pattern, 'text')}`)
    case 'compare':
      if (filter.comparison === '=') return equals(filter.path, filter.value, parameter)
      if (filter.comparison === '!=') return `(not ${equals(filter.path, filter.value, parameter)})`
      return ordered(fieldOf(filter.path, parameter), filter.comparison, filter.value, parameter)
  }
}

/** What a path leads to, in SQL. A null of any of them is absent. */
type Field = { kind: 'text' | 'number' | 'boolean' | 'json'; sql: string } | { kind: 'absent' }

const COLUMNS: { [path: string]: Field } = {
  id: { kind: 'text', sql: 'd.device' },
  tenant: { kind: 'text', sql: 'd.tenant' },
  model: { kind: 'text', sql: 'd.model' },
  modelVersion: { kind: 'text', sql: 'd.model_version' },
  revision: { kind: 'number', sql: 'd.revision' },
  status: { kind: 'text', sql: "'active'::text" },
  createdAt: { kind: 'text', sql: timeOf('d.created_at') },
  updatedAt: { kind: 'text', sql: timeOf('greatest(d.changed_at, d.decided_at)') },
  'presence.connected': { kind: 'boolean', sql: '(i.connection is not null)' },
  'presence.lastSeenAt': {
    kind: 'text',
    sql: `case when i.last_seen > 0 then ${timeOf('to_timestamp(i.last_seen / 1000.0)')} end`,
  },
}

/** Documents that stand as jsonb: the part's name, and where it is. */
const DOCUMENTS: { [part: string]: string } = {
  attributes: 'd.attributes',
  telemetry: 'd.telemetry',
  presence: "d.decided -> 'presence'",
  ranges: "d.decided -> 'ranges'",
  reported: "d.decided -> 'reported'",
  desired: "d.decided -> 'desired'",
  delta: "d.decided -> 'delta'",
  firmware: "d.decided -> 'firmware'",
  health: "d.decided -> 'health'",
  update: "d.decided -> 'update'",
  alarms: "coalesce(d.decided -> 'alarms', '[]'::jsonb)",
  maintenance: "d.decided -> 'maintenance'",
  clock: 'i.clock::jsonb',
}

function fieldOf(path: Path, parameter: Parameter): Field {
  const [part, ...rest] = path
  const column = columnOf(path)
  if (column) return column
  const document = DOCUMENTS[part]
  if (document === undefined) return { kind: 'absent' }
  // `->` with a text goes into objects only, as valueAt does; `#>` would count into arrays.
  return { kind: 'json', sql: `(${[document, ...rest.map((segment) => parameter(segment, 'text'))].join(' -> ')})` }
}

/** A path below a plain column leads nowhere. */
function columnOf(path: Path): Field | undefined {
  const names = Object.keys(COLUMNS)
  const found = names.find((name) => {
    const parts = name.split('.')
    return parts.every((part, index) => path[index] === part)
  })
  if (found === undefined) return undefined
  return path.length > found.split('.').length ? { kind: 'absent' } : COLUMNS[found]
}

function existsIn(field: Field): string {
  if (field.kind === 'absent') return 'false'
  if (field.kind === 'json') return `(coalesce(jsonb_typeof(${field.sql}), 'null') <> 'null')`
  return `(${field.sql} is not null)`
}

function equals(path: Path, value: Literal, parameter: Parameter): string {
  if (path[0] === 'attributes' && path.length > 1) {
    // Containment can use the GIN index. With objects down to a single scalar it is the same as equality at that path.
    const [, ...rest] = path
    const contained = rest.reduceRight<unknown>((inner, segment) => Object.fromEntries([[segment, inner]]), value)
    return `(d.attributes @> ${parameter(JSON.stringify(contained), 'text::jsonb')})`
  }
  const field = fieldOf(path, parameter)
  switch (field.kind) {
    case 'json':
      return `coalesce(${field.sql} = ${parameter(JSON.stringify(value), 'text::jsonb')}, false)`
    case 'text':
      return typeof value === 'string' ? `coalesce(${field.sql} = ${parameter(value, 'text')}, false)` : 'false'
    case 'number':
      return typeof value === 'number' ? `coalesce(${field.sql} = ${parameter(String(value), 'numeric')}, false)` : 'false'
    case 'boolean':
      return typeof value === 'boolean' ? `(${field.sql} is ${value})` : 'false'
    case 'absent':
      return 'false'
  }
}

function ordered(field: Field, comparison: string, value: Literal, parameter: Parameter): string {
  if (typeof value === 'string') return textTest(field, (text) => `${text} ${comparison} ${parameter(value, 'text')}`)
  if (field.kind === 'number') return `coalesce(${field.sql} ${comparison} ${parameter(String(value), 'numeric')}, false)`
  if (field.kind !== 'json') return 'false'
  const number = parameter(String(value), 'numeric')
  return `(case when jsonb_typeof(${field.sql}) = 'number' then ${field.sql}::numeric ${comparison} ${number} else false end)`
}

/** By code points, whatever the locale of the database. */
function textTest(field: Field, test: (text: string) => string): string {
  if (field.kind === 'text') return `coalesce(${test(`(${field.sql}) collate "C"`)}, false)`
  if (field.kind !== 'json') return 'false'
  return `(case when jsonb_typeof(${field.sql}) = 'string' then ${test(`(${field.sql} #>> '{}') collate "C"`)} else false end)`
}

/** As the document shows times: RFC 3339, UTC, milliseconds cut off (to_char would round). */
function timeOf(timestamp: string): string {
  return `to_char(date_trunc('milliseconds', ${timestamp}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}
