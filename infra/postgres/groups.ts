/** Groups in Postgres: filters with a name, perhaps with a firmware pin, which no rollout overrules. */
import { type Group, type Groups, MOST_GROUPS, MOST_PINS } from '../../api/group-ports.ts'
import type { Page } from '../../api/ports.ts'
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { FILTERED } from './bulk-changes.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

export function createGroups(sql: Sql): Groups {
  return {
    put: (tenant, group) => putGroup(sql, tenant, group),
    find: (tenant, name) => findGroup(sql, tenant, name),
    list: (tenant, page) => listGroups(sql, tenant, page),
    remove: async (tenant, name) => (await sql`delete from groups where tenant = ${tenant} and name = ${name}`).count > 0,
    count: (tenant, filter, most) => countMatches(sql, tenant, filter, most),
    pinElsewhere: (device, version) => pinElsewhere(sql, device, version),
  }
}

const COLUMNS = `name, filter, firmware_pin as "firmwarePin", ${epochMs('created_at')} as "createdAt", ${epochMs('changed_at')} as "changedAt"`

async function putGroup(sql: Sql, tenant: string, { name, filter, firmwarePin }: Parameters<Groups['put']>[1]) {
  return sql.begin(async (tx) => {
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const [others] = await tx<[{ groups: number; pins: number }]>`
      select count(*)::int as groups, count(firmware_pin)::int as pins from groups where tenant = ${tenant} and name <> ${name}`
    if (others.groups >= MOST_GROUPS) return 'too-many-groups'
    if (firmwarePin !== null && others.pins >= MOST_PINS) return 'too-many-pins'
    const isNew = (await findGroup(tx, tenant, name)) === undefined
    await tx`
      insert into groups (tenant, name, filter, firmware_pin) values (${tenant}, ${name}, ${filter}, ${firmwarePin})
      on conflict (tenant, name) do update set filter = excluded.filter, firmware_pin = excluded.firmware_pin, changed_at = now()
        where (groups.filter, groups.firmware_pin) is distinct from (excluded.filter, excluded.firmware_pin)`
    return { group: (await findGroup(tx, tenant, name))!, isNew }
  })
}

export async function findGroup(sql: Queries, tenant: string, name: string): Promise<Group | undefined> {
  const [group] = await sql<Group[]>`select ${sql.unsafe(COLUMNS)} from groups where tenant = ${tenant} and name = ${name}`
  return group
}

async function listGroups(sql: Queries, tenant: string, { after, limit }: Page<string>): Promise<Group[]> {
  return sql<Group[]>`
    select ${sql.unsafe(COLUMNS)} from groups where tenant = ${tenant} and name > ${after ?? ''} order by name limit ${limit}`
}

async function countMatches(sql: Queries, tenant: string, filter: string, most: number): Promise<number> {
  const { where, parameters } = compileFilter(parseFilter(filter), 3)
  const [row] = await sql.unsafe<[{ count: number }]>(
    `select count(*)::int as count from (select from ${FILTERED} where d.tenant = $1 and ${where} limit $2::int) found`,
    [tenant, most, ...parameters],
  )
  return row.count
}

/** Groups with a pin. */
export type Pin = Group & { firmwarePin: string }

export async function pinsOf(sql: Queries, tenant: string): Promise<Pin[]> {
  return await sql<Pin[]>`select ${sql.unsafe(COLUMNS)} from groups where tenant = ${tenant} and firmware_pin is not null order by name`
}

async function pinElsewhere(sql: Queries, { tenant, incarnation }: Parameters<Groups['pinElsewhere']>[0], version: string) {
  const pins = (await pinsOf(sql, tenant)).filter(({ firmwarePin }) => firmwarePin !== version)
  if (pins.length === 0) return undefined
  const parameters: Array<string | number> = [incarnation]
  const cases = pins.map(({ filter }, place) => {
    const { where, parameters: own } = compileFilter(parseFilter(filter), parameters.length + 1)
    parameters.push(...own)
    return `when ${where} then ${place}`
  })
  const [row] = await sql.unsafe<Array<{ place: number | null }>>(
    `select case ${cases.join(' ')} end as place from ${FILTERED} where d.incarnation = $1`,
    parameters,
  )
  return row === undefined || row.place === null ? undefined : pins[row.place]
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
