/** Who a device is: the queries of the bridge about credentials. Tokens are compared by their SHA-256; the token itself is never stored. */
import type { Queries } from './connect.ts'

export interface DeviceIdentity {
  tenant: string
  device: string
  incarnation: number
}

export interface MqttLogin extends DeviceIdentity {
  tokenHash: Buffer
  /** Number of this connection; later connections have higher ones, on whatever bridge. Absent when the hash is not the device's. */
  connection: number | null
}

/** The device of that name; it is for the caller to compare hashes in constant time. */
export async function findLogin(sql: Queries, tenant: string, device: string, tokenHash: Buffer): Promise<MqttLogin | undefined> {
  const [row] = await sql<MqttLogin[]>`
    select tenant, device, incarnation, token_hash as "tokenHash", case when token_hash = ${tokenHash} then nextval('connections') end as connection
    from devices where tenant = ${tenant} and device = ${device}`
  return row
}

export async function findByToken(sql: Queries, tokenHash: Buffer): Promise<DeviceIdentity | undefined> {
  const [row] = await sql<DeviceIdentity[]>`
    select tenant, device, incarnation from devices where token_hash = ${tokenHash}`
  return row
}

/** Registrations that ended lately. Looks back further than the time between two calls: commits become visible late. */
export async function recentlyRemoved(sql: Queries, withinSeconds: number): Promise<number[]> {
  const rows = await sql<Array<{ incarnation: number }>>`
    select incarnation from removed_devices where removed_at > now() - make_interval(secs => ${withinSeconds}::float8)`
  return rows.map(({ incarnation }) => incarnation)
}

/** Devices that lately got a new token, with its hash. */
export async function recentlyChangedTokens(
  sql: Queries,
  withinSeconds: number,
): Promise<Array<{ incarnation: number; tokenHash: Buffer }>> {
  return sql<Array<{ incarnation: number; tokenHash: Buffer }>>`
    select incarnation, token_hash as "tokenHash" from devices
    where token_changed_at > now() - make_interval(secs => ${withinSeconds}::float8)`
}

export interface DeviceError {
  incarnation: number
  body: string
}

/** Takes words for connected devices: at most once. Those that nobody takes, since their bridge ended, retention deletes. */
export async function takeDeviceErrors(sql: Queries, stream: number, limit: number): Promise<DeviceError[]> {
  return sql<DeviceError[]>`
    with taken as (
      delete from device_errors where id in (select id from device_errors where stream = ${stream} order by id limit ${limit})
      returning id, incarnation, body
    )
    select incarnation, body from taken order by id`
}
