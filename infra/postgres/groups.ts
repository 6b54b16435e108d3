/** Groups in Postgres: filters with a name, perhaps with a firmware pin, which no rollout overrules. */
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import type { Queries } from './connect.ts'

export interface StoredGroup {
  name: string
  filter: string
  /** A version. */
  firmwarePin: string | null
}

export async function findGroup(sql: Queries, tenant: string, name: string): Promise<StoredGroup | undefined> {
  const [group] = await sql<StoredGroup[]>`
    select name, filter, firmware_pin as "firmwarePin" from groups where tenant = ${tenant} and name = ${name}`
  return group
}

/** Groups with a pin. */
export type Pin = StoredGroup & { firmwarePin: string }

export async function pinsOf(sql: Queries, tenant: string): Promise<Pin[]> {
  return await sql<Pin[]>`
    select name, filter, firmware_pin as "firmwarePin" from groups where tenant = ${tenant} and firmware_pin is not null order by name`
}

/**
 * Whether a device of `devices d left join twin_inbox i` is pinned to another version, as a boolean SQL expression whose first parameter has
 * the number `first`. `version`: what it would get, in SQL.
 */
export function pinnedElsewhere(pins: Pin[], version: string, first: number): { where: string; parameters: string[] } {
  const parameters: string[] = []
  const conditions = pins.map(({ filter, firmwarePin }) => {
    const number = first + parameters.length
    const { where, parameters: own } = compileFilter(parseFilter(filter), number + 1)
    parameters.push(firmwarePin, ...own)
    return `($${number}::text <> ${version} and ${where})`
  })
  return { where: conditions.length > 0 ? `(${conditions.join(' or ')})` : 'false', parameters }
}
