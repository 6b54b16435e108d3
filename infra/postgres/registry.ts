/** The device registry over REST. A registration is one row of `devices`; its incarnation is never used again. */
import { randomUUID } from 'node:crypto'
import type { DeviceChange, DeviceRow, IdempotencyClaim, NewDevice, Page, Registration, Registry } from '../../api/ports.ts'
import type { CompiledFilter } from '../../twin-models/filter/sql.ts'
import { DEVICE_COLUMNS, epochMs, preparedShapes } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { claimKey, findStoredAnswer, releaseKey } from './idempotency.ts'
import { insertRequest } from './requests.ts'

export function createRegistry(sql: Sql): Registry {
  const isPrepared = preparedShapes(128)
  return {
    insert: (device) => insertDevice(sql, device),
    insertOnce: (device, claim, responseOf) => insertDeviceOnce(sql, device, claim, responseOf),
    storedAnswer: (tenant, keyHash) => findStoredAnswer(sql, tenant, keyHash),
    find: (tenant, device) => findDevice(sql, tenant, device),
    list: (tenant, page, filter) => listDevices(sql, tenant, page, filter, isPrepared),
    update: (tenant, device, change) => updateDevice(sql, tenant, device, change),
    remove: (tenant, device, by) => removeDevice(sql, tenant, device, by),
    changeToken: (tenant, device, tokenHash) => changeToken(sql, tenant, device, tokenHash),
  }
}

/** Told by an event (kind `registered`) in the same statement. */
async function insertDevice(sql: Queries, device: NewDevice): Promise<Registration | undefined> {
  const [row] = await sql<Registration[]>`
    with made as (
      insert into devices (tenant, device, model, model_version, attributes, token_hash)
      values (${device.tenant}, ${device.device}, ${device.model}, ${device.modelVersion}, ${device.attributes}::text::jsonb, ${device.tokenHash})
      on conflict (tenant, device) do nothing
      returning *, created_at as at
    ), told as (${event(sql, 'made', 'registered', device.by)})
    select incarnation, ${sql.unsafe(epochMs('created_at'))} as "createdAt" from made`
  return row
}

/** Into the outbox, of each row of a `with` query that gives devices and `at`. */
function event(sql: Queries, from: 'made' | 'gone', kind: 'registered' | 'removed', by: string) {
  return sql`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select at, tenant, incarnation, device, ${kind}::text,
      json_build_object('at', ${sql.unsafe(epochMs('at'))}, 'model', model, 'modelVersion', model_version, 'attributes', attributes)::text,
      ${JSON.stringify({ by: 'request', who: by })}::text
    from ${sql.unsafe(from)}`
}

async function insertDeviceOnce(
  sql: Sql,
  device: NewDevice,
  claim: IdempotencyClaim,
  responseOf: (made: Registration) => string,
): Promise<Registration | 'claimed' | undefined> {
  return sql.begin(async (tx) => {
    if (!(await claimKey(tx, device.tenant, claim, ''))) return 'claimed'
    const made = await insertDevice(tx, device)
    if (made) {
      await tx`update idempotency_keys set response = ${responseOf(made)} where tenant = ${device.tenant} and key_hash = ${claim.keyHash}`
    } else {
      await releaseKey(tx, device.tenant, claim.keyHash, '')
    }
    return made
  })
}

export async function findDevice(sql: Queries, tenant: string, device: string): Promise<DeviceRow | undefined> {
  const [row] = await sql<DeviceRow[]>`
    select ${sql.unsafe(DEVICE_COLUMNS)} from devices d where d.tenant = ${tenant} and d.device = ${device}`
  return row
}

export async function listDevices(
  sql: Queries,
  tenant: string,
  page: Page<string>,
  filter: CompiledFilter | undefined,
  isPrepared: (text: string) => boolean,
): Promise<DeviceRow[]> {
  const text = `select ${DEVICE_COLUMNS} from devices d left join twin_inbox i on i.incarnation = d.incarnation
    where d.tenant = $1 and d.device > $2 ${filter ? `and ${filter.where}` : ''} order by d.device limit ${page.limit}`
  const parameters = [tenant, page.after ?? '', ...(filter?.parameters ?? [])]
  return sql.unsafe<DeviceRow[]>(text, parameters, { prepare: isPrepared(text) })
}

async function updateDevice(sql: Sql, tenant: string, device: string, change: (row: DeviceRow) => DeviceChange) {
  return sql.begin(async (tx) => {
    const [row] = await tx<DeviceRow[]>`
      select ${tx.unsafe(DEVICE_COLUMNS)} from devices d where d.tenant = ${tenant} and d.device = ${device} for update`
    if (!row) return undefined
    const changed = change(row)
    const [after] = await tx<DeviceRow[]>`
      update devices d set attributes = ${changed.attributes}::text::jsonb, model = ${changed.model},
        model_version = ${changed.modelVersion}, changed_at = now()
      where d.incarnation = ${row.incarnation} returning ${tx.unsafe(DEVICE_COLUMNS)}`
    // The owner of its lane looks anew which rules are for it.
    await tx`
      insert into rule_devices (incarnation)
      select ${row.incarnation}::int where exists (select from rule_scopes where tenant = ${tenant})
      on conflict (incarnation) do update set number = default`
    if (changed.model === row.model) return { row: after!, request: undefined }
    const request = randomUUID()
    await insertRequest(tx, { id: request, tenant, incarnation: row.incarnation, kind: 'configured', body: '{}' })
    return { row: after!, request }
  })
}

/** The lane's owner ends the workflow and removes the inbox row; bridges end the connection. The event tells what it was. */
export async function removeDevice(sql: Queries, tenant: string, device: string, by: string): Promise<boolean> {
  const gone = await sql`
    with gone as (
      delete from devices where tenant = ${tenant} and device = ${device} returning *, now() as at
    ), told as (${event(sql, 'gone', 'removed', by)})
    insert into removed_devices (incarnation, tenant, device, lane)
    select incarnation, tenant, device, incarnation % 16 from gone`
  return gone.count > 0
}

async function changeToken(sql: Queries, tenant: string, device: string, tokenHash: Uint8Array): Promise<boolean> {
  const changed = await sql`
    update devices set token_hash = ${tokenHash}, token_changed_at = now() where tenant = ${tenant} and device = ${device}`
  return changed.count > 0
}
