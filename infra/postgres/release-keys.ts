/** Public keys that a tenant trusts to sign its releases. A row stays when its key is revoked, so that nobody brings it back. */
import { MOST_RELEASE_KEYS, type ReleaseKey, type ReleaseKeys } from '../../api/firmware-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

const COLUMNS = `id, name, public_key as "publicKey", ${epochMs('created_at')} as "createdAt", ${epochMs('revoked_at')} as "revokedAt"`

export function createReleaseKeys(sql: Sql): ReleaseKeys {
  return {
    insert: (tenant, key) => insertKey(sql, tenant, key),
    find: (tenant, id) => findKey(sql, tenant, id),
    list: (tenant) =>
      sql<ReleaseKey[]>`select ${sql.unsafe(COLUMNS)} from release_keys where tenant = ${tenant} order by created_at desc, id`,
    revoke: (tenant, id) => revokeKey(sql, tenant, id),
  }
}

async function insertKey(
  sql: Sql,
  tenant: string,
  { id, name, publicKey }: Pick<ReleaseKey, 'id' | 'name' | 'publicKey'>,
): Promise<{ key: ReleaseKey; isNew: boolean } | 'too-many'> {
  return sql.begin(async (tx) => {
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const before = await findKey(tx, tenant, id)
    if (before) return { key: before, isNew: false }
    const [{ count }] = await tx<[{ count: number }]>`select count(*)::int as count from release_keys where tenant = ${tenant}`
    if (count >= MOST_RELEASE_KEYS) return 'too-many'
    await tx`insert into release_keys (tenant, id, name, public_key) values (${tenant}, ${id}, ${name}, ${publicKey})`
    return { key: (await findKey(tx, tenant, id))!, isNew: true }
  })
}

async function findKey(sql: Queries, tenant: string, id: string): Promise<ReleaseKey | undefined> {
  const [row] = await sql<ReleaseKey[]>`select ${sql.unsafe(COLUMNS)} from release_keys where tenant = ${tenant} and id = ${id}`
  return row
}

async function revokeKey(sql: Queries, tenant: string, id: string): Promise<boolean> {
  const rows = await sql`
    update release_keys set revoked_at = coalesce(revoked_at, now()) where tenant = ${tenant} and id = ${id} returning true`
  return rows.length > 0
}
