/**
 * Which paths of the twin document a rule may read, and what stands there. All of them are decided or are readings, so that a rule is judged with
 * each of their changes; times and what a device says all the while are not among them.
 */
import type { Path } from '../filter/language.ts'
import { isPropertyName } from '../names.ts'
import { written } from './language.ts'

export type Readable =
  | { kind: 'telemetry' | 'range'; of: string }
  | { kind: 'state'; part: 'reported' | 'desired'; of: string; inner: string[] }
  | { kind: 'health'; of: 'battery' | 'rssi' }
  | { kind: 'words'; words: readonly string[] | undefined }
  | { kind: 'flag' }

const READS =
  'telemetry.NAME.value, presence.status, presence.reason, ranges.NAME.status, reported.state.NAME…, desired.state.NAME…, firmware.version, firmware.sha256, health.ok, health.battery, health.rssi and functions of readings'
const ONE_LEVEL: { [path: string]: Readable } = {
  'presence.status': { kind: 'words', words: ['online', 'offline', 'never'] },
  'presence.reason': { kind: 'words', words: ['registered', 'message', 'hello', 'silence', 'goodbye', 'will', 'backstop'] },
  'firmware.version': { kind: 'words', words: undefined },
  'firmware.sha256': { kind: 'words', words: undefined },
  'health.ok': { kind: 'flag' },
  'health.battery': { kind: 'health', of: 'battery' },
  'health.rssi': { kind: 'health', of: 'rssi' },
}
export const RANGE_WORDS = ['normal', 'low', 'high'] as const

/** What a path of a rule leads to, or in words why a rule may not read it. */
export function readableAt(path: Path): Readable | string {
  const [part, name, field, ...inner] = path
  switch (part) {
    case 'telemetry':
      return telemetryAt(name, field, inner)
    case 'ranges':
      if (name !== undefined && field === 'status' && inner.length === 0) return { kind: 'range', of: name }
      return `of ranges a rule reads ranges.NAME.status alone; the value itself is telemetry.NAME.value`
    case 'reported':
    case 'desired':
      if (name === 'state' && field !== undefined) return { kind: 'state', part, of: field, inner }
      return `of ${part} a rule reads ${part}.state.NAME… alone`
    case 'presence':
    case 'firmware':
    case 'health':
      return own(written(path)) ?? `of ${part} a rule reads ${namesOf(part).join(', ')} alone`
    case 'attributes':
    case 'id':
    case 'model':
    case 'modelVersion':
      return `a rule does not read '${part}': which devices it is for stands in \`filter\`${part === 'attributes' ? ', and attributes may stand on the right side of a comparison' : ''}`
    default:
      return `a rule does not read '${part}'; it reads ${READS}`
  }
}

function telemetryAt(name: string | undefined, field: string | undefined, inner: string[]): Readable | string {
  if (name === undefined) return 'a rule reads telemetry.NAME.value'
  if (!isPropertyName(name)) return `'${name.slice(0, 40)}' is no name of a property`
  const value = written(['telemetry', name, 'value'])
  if (field === undefined) return `what is compared is ${value}; that nothing came is missing(${written(['telemetry', name])}, '10m')`
  if (field !== 'value')
    return `of a reading a rule reads its value alone, not '${field}'; that nothing came is missing(${written(['telemetry', name])}, '10m')`
  if (inner.length > 0) return `parts of a value are not compared: distance(${value}, …) is what takes a {lat, lon}`
  return { kind: 'telemetry', of: name }
}

function own(path: string): Readable | undefined {
  return Object.hasOwn(ONE_LEVEL, path) ? ONE_LEVEL[path] : undefined
}

function namesOf(part: string): string[] {
  return Object.keys(ONE_LEVEL).filter((path) => path.startsWith(`${part}.`))
}
