/** Updates as REST writes and reads them. What becomes of them, the decision write, the bridge and the processor say. */
import type { IdempotencyClaim } from '../../api/ports.ts'
import type { NewUpdate, UpdateRow, Updates } from '../../api/update-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { claimKey, releaseKey } from './idempotency.ts'

export function createUpdates(sql: Sql): Updates {
  return {
    insert: (update, claim) => insertUpdate(sql, update, claim),
    find: async (tenant, id) => {
      const [row] = await sql<StoredUpdate[]>`${selected(sql)} where u.tenant = ${tenant} and u.id = ${id}`
      return row && parsed(row)
    },
    list: (query) => listUpdates(sql, query),
    ended: async (ids) => sql`select id from updates where id = any(${ids}::uuid[]) and ended_at is not null`,
  }
}

async function insertUpdate(sql: Sql, update: NewUpdate, claim: IdempotencyClaim | undefined): Promise<'written' | 'gone' | 'claimed'> {
  if (!claim) return (await writeUpdate(sql, update)) ? 'written' : 'gone'
  return sql.begin(async (tx) => {
    const response = JSON.stringify({ update: update.id })
    if (!(await claimKey(tx, update.tenant, claim, response))) return 'claimed'
    if (await writeUpdate(tx, update)) return 'written'
    await releaseKey(tx, update.tenant, claim.keyHash, response)
    return 'gone'
  })
}

/** One statement, and so one transaction. It holds on to the device: its removal comes after, and ends what was asked before. */
async function writeUpdate(sql: Queries, { id, tenant, incarnation, firmware, kind, requestedBy, from, request }: NewUpdate) {
  const { count } = await sql`
    with device as (
      select incarnation, tenant, device from devices where incarnation = ${incarnation} and tenant = ${tenant} for key share
    ), made as (
      insert into updates (id, tenant, incarnation, device, firmware, kind, requested_by, from_version, from_sha256)
      select ${id}::uuid, tenant, incarnation, device, ${firmware}::uuid, ${kind}, ${requestedBy},
        ${from?.version ?? null}, ${from?.sha256 ?? null}
      from device
    )
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select ${id}::uuid, tenant, incarnation, incarnation % 16, 'update', ${request} from device`
  return count > 0
}

interface StoredUpdate extends Omit<UpdateRow, 'firmware'> {
  firmware: string
  name: string
  version: string
  sha256: string
}

function selected(sql: Queries) {
  return sql`
    select u.id, u.number, u.incarnation, u.device, u.rollout, u.kind, f.id as firmware, f.name, f.version, f.sha256,
      u.requested_by as "requestedBy", u.from_version as "fromVersion", u.from_sha256 as "fromSha256", u.status, u.progress, u.attempt,
      ${sql.unsafe(epochMs('u.created_at'))} as "createdAt", ${sql.unsafe(epochMs('u.until'))} as until,
      ${sql.unsafe(epochMs('u.sent_at'))} as "sentAt", ${sql.unsafe(epochMs('u.answered_at'))} as "answeredAt",
      ${sql.unsafe(epochMs('u.status_at'))} as "statusAt", ${sql.unsafe(epochMs('u.ended_at'))} as "endedAt", u.code, u.message
    from updates u join firmware f on f.id = u.firmware`
}

function parsed({ firmware: id, name, version, sha256, ...row }: StoredUpdate): UpdateRow {
  return { ...row, firmware: { id, name, version, sha256 } }
}

async function listUpdates(
  sql: Queries,
  { tenant, device, rollout, statuses, page }: Parameters<Updates['list']>[0],
): Promise<UpdateRow[]> {
  const rows = await sql<StoredUpdate[]>`
    ${selected(sql)}
    where u.tenant = ${tenant} and u.number < ${page.after ?? Number.MAX_SAFE_INTEGER}
      ${device === undefined ? sql`` : sql`and u.incarnation = (select incarnation from devices where tenant = ${tenant} and device = ${device})`}
      ${rollout === undefined ? sql`` : sql`and u.rollout = ${rollout}`}
      ${statuses === undefined ? sql`` : sql`and u.status = any(${statuses as string[]}::text[])`}
    order by u.number desc limit ${page.limit}`
  return rows.map(parsed)
}
