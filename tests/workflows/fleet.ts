/** Devices of a site, whose twins are played by SQL. */
import { createHash, randomUUID } from 'node:crypto'
import type { Sql } from '../../infra/postgres/connect.ts'

export function sha256Of(version: string): string {
  return createHash('sha256').update(version).digest('hex')
}

export interface FleetOptions {
  site?: string
  model?: string
  version?: string
  attributes?: object
}

/** So many devices of a site of their own; returns the site. Their names begin with it. */
export async function fleet(sql: Sql, count: number, options: FleetOptions = {}): Promise<string> {
  const { site = `site-${randomUUID()}`, model = 'thermostat', version = '1.0.0', attributes = {} } = options
  const decided = { presence: { status: 'online' }, firmware: { version, sha256: sha256Of(version) } }
  await sql`
    insert into devices (tenant, device, model, model_version, attributes, token_hash, decided)
    select 'demo', ${site} || '-' || left(gen_random_uuid()::text, 8) || '-' || n, ${model}, '1.0.0', ${JSON.stringify({ site, ...attributes })}::text::jsonb,
      sha256(gen_random_uuid()::text::bytea), ${JSON.stringify(decided)}::text::jsonb
    from generate_series(1, ${count}) n`
  return site
}
