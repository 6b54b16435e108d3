/**
 * Why a device has no part in a rollout, in SQL: the same for its preview, when it chooses its devices, and again before it asks one, since weeks
 * may lie between. Null: it takes part.
 */
import type { RolloutFirmware } from '../../activities/rollout-ports.ts'
import { usableProblemSql } from './firmware.ts'
import { type Pin, pinnedElsewhere } from './groups.ts'

export interface LeftOutSql {
  /** For `devices d left join twin_inbox i`. */
  join: string
  reason: string
  parameters: string[]
}

/** What a device says that it runs. */
export const RUNS = { version: "(d.decided #>> '{firmware,version}')", sha256: "(d.decided #>> '{firmware,sha256}')" } as const

/** Forward. The counters of a line of releases never go down; a version that Castor does not know has none. `first`: number of a parameter. */
export function leftOut({ name, model, version, counter, sha256, manifest }: RolloutFirmware, pins: Pin[], first: number): LeftOutSql {
  const parameters: string[] = []
  const value = (text: string, type: string) => `$${first + parameters.push(text) - 1}::text::${type}`
  const join = `left join firmware runs on runs.tenant = d.tenant and runs.name = ${value(name, 'text')} and runs.version = ${RUNS.version}`
  const to = value(version, 'text')
  const cases = [`when d.model <> ${value(model, 'text')} then 'model'`]
  if (manifest.hardware.length > 0)
    cases.push(`when not ${isAmong("(d.attributes ->> 'hardware')", value(JSON.stringify(manifest.hardware), 'jsonb'))} then 'hardware'`)
  cases.push(
    `when ${RUNS.version} = ${to} and ${RUNS.sha256} = ${value(sha256, 'text')} then 'already-installed'`,
    `when runs.counter >= ${value(String(counter), 'bigint')} then 'older'`,
  )
  if (manifest.prerequisites.from)
    cases.push(`when not ${isAmong(RUNS.version, value(JSON.stringify(manifest.prerequisites.from), 'jsonb'))} then 'from-version'`)
  const pinned = pinnedElsewhere(pins, to, first + parameters.length)
  cases.splice(1, 0, `when ${pinned.where} then 'pinned'`)
  return { join, reason: `case ${cases.join(' ')} end`, parameters: [...parameters, ...pinned.parameters] }
}

/**
 * Back: for devices whose target is `t`, to the artifact `f`, whose version is `from`. Only what the rollout brought is taken back; `no-way-back`: the newer manifest does not
 * name the older version, or that is not known or must not be rolled out any more.
 */
export function leftOutBack({ name, version, manifest }: RolloutFirmware, from: string, pins: Pin[], first: number): LeftOutSql {
  const parameters: string[] = []
  const value = (text: string, type: string) => `$${first + parameters.push(text) - 1}::text::${type}`
  const join = `left join firmware f on f.tenant = d.tenant and f.name = ${value(name, 'text')} and f.version = ${from}`
  const ways = value(JSON.stringify(manifest.rollbackTo), 'jsonb')
  const cases = [
    `when ${RUNS.version} is distinct from ${value(version, 'text')} then 'from-version'`,
    `when not ${isAmong('f.version', ways)} or ${usableProblemSql} is not null then 'no-way-back'`,
  ]
  const pinned = pinnedElsewhere(pins, 'f.version', first + parameters.length)
  cases.push(`when ${pinned.where} then 'pinned'`)
  return { join, reason: `case ${cases.join(' ')} end`, parameters: [...parameters, ...pinned.parameters] }
}

/** The device runs this. Versions alone tell where it says no hash. */
export function sameFirmware(version: string, sha256: string): string {
  return `(${RUNS.version} = ${version} and coalesce(${RUNS.sha256} = ${sha256}, true))`
}

function isAmong(text: string, list: string): string {
  return `coalesce(${list} ? ${text}, false)`
}
