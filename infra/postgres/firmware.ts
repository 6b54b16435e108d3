/** Firmware artifacts: rows, and whether they may be used. The bytes lie elsewhere (infra/firmware/folder-store.ts). */
import type { DownloadLink, FirmwareQuery, FirmwareRow, FirmwareRows, FirmwareSignature, NewFirmware } from '../../api/firmware-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

/** Lines of releases that have the same version, where it alone is asked for. */
const MOST_NAMES = 20

export function createFirmware(sql: Sql): FirmwareRows {
  return {
    insert: (firmware) => insertFirmware(sql, firmware),
    find: (tenant, id) => findFirmware(sql, tenant, id),
    findVersion: (tenant, name, version) => findVersion(sql, tenant, name, version),
    findCounter: async (tenant, name, counter) => {
      const [row] = await sql<FirmwareRow[]>`
        select ${sql.unsafe(FIRMWARE_COLUMNS)} from firmware f
        where tenant = ${tenant} and name = ${name} and counter = ${counter} order by number limit 1`
      return row
    },
    findVersions: (tenant, version) => sql<FirmwareRow[]>`
      select ${sql.unsafe(FIRMWARE_COLUMNS)} from firmware f where tenant = ${tenant} and version = ${version} order by name limit ${MOST_NAMES}`,
    list: (tenant, query) => listFirmware(sql, tenant, query),
    sign: (tenant, id, signature) => signFirmware(sql, tenant, id, signature),
    withdraw: (tenant, id) => withdrawFirmware(sql, tenant, id),
  }
}

/** For `firmware f`: a `UsableProblem` as text, or null when it may be rolled out and downloaded. twin-models/firmware/usable.ts in SQL. */
export const usableProblemSql = `
  case when f.withdrawn_at is not null then 'withdrawn'
    when f.key is null then 'unsigned'
    when ${isRevoked()} then 'key-revoked'
    when f.expires_at <= now() then 'expired' end`

/** For `firmware f`. */
function isRevoked(): string {
  return 'not exists (select from release_keys k where k.tenant = f.tenant and k.id = f.key and k.revoked_at is null)'
}

const FIRMWARE_COLUMNS = `f.id, f.number, f.name, f.model, f.version, f.counter, f.size, f.sha256, f.manifest, f.envelope, f.key, f.notes,
  f.key is not null and ${isRevoked()} as "keyRevoked", ${epochMs('f.expires_at')} as "expiresAt", ${epochMs('f.withdrawn_at')} as "withdrawnAt",
  ${epochMs('f.created_at')} as "createdAt", f.created_by as "createdBy"`

/** What it is was checked; a name and version that is there stays as it is. */
async function insertFirmware(sql: Sql, { signature, ...firmware }: NewFirmware): Promise<boolean> {
  const { id, tenant, name, model, version, counter, size, sha256, manifest, expiresAt, notes, createdBy } = firmware
  return sql.begin(async (tx) => {
    // Two at once would both find the counter free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const { count } = await tx`
      insert into firmware (id, tenant, name, model, version, counter, size, sha256, manifest, envelope, key, expires_at, notes, created_by)
      select ${id}::uuid, ${tenant}::text, ${name}::text, ${model}, ${version}, ${counter}::bigint, ${size}, ${sha256}, ${manifest},
        ${signature?.envelope ?? null}, ${signature?.key ?? null}, ${expiresAt === null ? null : new Date(expiresAt)}::timestamptz, ${notes}, ${createdBy}
      where not exists (select from firmware where tenant = ${tenant} and name = ${name} and counter = ${counter})
      on conflict (tenant, name, version) do nothing`
    return count > 0
  })
}

export async function findFirmware(sql: Queries, tenant: string, id: string): Promise<FirmwareRow | undefined> {
  const [row] = await sql<FirmwareRow[]>`select ${sql.unsafe(FIRMWARE_COLUMNS)} from firmware f where tenant = ${tenant} and id = ${id}`
  return row
}

export async function findVersion(sql: Queries, tenant: string, name: string, version: string): Promise<FirmwareRow | undefined> {
  const [row] = await sql<FirmwareRow[]>`
    select ${sql.unsafe(FIRMWARE_COLUMNS)} from firmware f where tenant = ${tenant} and name = ${name} and version = ${version}`
  return row
}

async function listFirmware(sql: Queries, tenant: string, { name, model, page }: FirmwareQuery): Promise<FirmwareRow[]> {
  return sql<FirmwareRow[]>`
    select ${sql.unsafe(FIRMWARE_COLUMNS)} from firmware f
    where tenant = ${tenant} and number < ${page.after ?? Number.MAX_SAFE_INTEGER}
      and (${name ?? null}::text is null or name = ${name ?? null}) and (${model ?? null}::text is null or model = ${model ?? null})
    order by number desc limit ${page.limit}`
}

async function signFirmware(sql: Queries, tenant: string, id: string, { envelope, key }: FirmwareSignature): Promise<boolean> {
  const rows = await sql`
    update firmware f set envelope = ${envelope}, key = ${key}
    where tenant = ${tenant} and id = ${id} and (key is null or ${sql.unsafe(isRevoked())}) returning true`
  return rows.length > 0
}

async function withdrawFirmware(sql: Queries, tenant: string, id: string): Promise<boolean> {
  const rows = await sql`
    update firmware set withdrawn_at = coalesce(withdrawn_at, now()) where tenant = ${tenant} and id = ${id} returning true`
  return rows.length > 0
}

/**
 * Of these images those that no artifact has. None where there is no artifact at all: the folder may be that of another database, and what lies
 * in it is not to be had again.
 */
export async function unnamedImages(sql: Queries, sha256s: string[]): Promise<string[]> {
  const rows = await sql<Array<{ sha256: string }>>`
    select image as sha256 from json_array_elements_text(${JSON.stringify(sha256s)}::text::json) as image
    where exists (select from firmware) and not exists (select from firmware f where f.sha256 = image)`
  return rows.map(({ sha256 }) => sha256)
}

/** What a link to download stands for. A device that was removed has none. */
export async function findDownloadLink(sql: Queries, update: string): Promise<DownloadLink | undefined> {
  const [row] = await sql<Array<Omit<DownloadLink, 'bytesPerSecond'> & { spec: string | null }>>`
    select u.tenant, u.link as key, ${sql.unsafe(epochMs('u.link_until'))} as until, u.ended_at is not null or d.incarnation is null as "isOver",
      f.sha256, f.size, ${sql.unsafe(usableProblemSql)} as problem, u.rollout, r.spec
    from updates u join firmware f on f.id = u.firmware
      left join devices d on d.incarnation = u.incarnation left join rollouts r on r.id = u.rollout
    where u.id = ${update}`
  if (!row) return undefined
  const { spec, ...link } = row
  const { downloadBytesPerSecond } = spec === null ? {} : (JSON.parse(spec) as { downloadBytesPerSecond?: number })
  return { ...link, bytesPerSecond: downloadBytesPerSecond ?? null }
}
