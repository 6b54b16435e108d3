/** API keys: only their SHA-256 is stored, and the lookup goes by it, so its time tells nothing about a key. */
import { hash } from 'node:crypto'
import type { ApiKey } from '../../api/ports.ts'
import type { Queries, Sql } from './connect.ts'

/** The tenant that is there from the start; the admin key is its admin's. */
export const FIRST_TENANT = 'demo'

export async function findApiKey(sql: Queries, keyHash: Uint8Array): Promise<ApiKey | undefined> {
  const [row] = await sql<ApiKey[]>`select tenant, name from api_keys where key_hash = ${keyHash}`
  return row
}

/** Makes this key the admin's of the first tenant; a former one ends. For every start: nothing changes when it is there. */
export async function ensureAdminKey(sql: Sql, key: string): Promise<void> {
  const keyHash = hash('sha256', key, 'buffer')
  await sql.begin(async (tx) => {
    await tx`insert into tenants (tenant) values (${FIRST_TENANT}) on conflict do nothing`
    await tx`delete from api_keys where tenant = ${FIRST_TENANT} and name = 'admin' and key_hash <> ${keyHash}`
    await tx`insert into api_keys (key_hash, tenant, name) values (${keyHash}, ${FIRST_TENANT}, 'admin') on conflict do nothing`
  })
}
