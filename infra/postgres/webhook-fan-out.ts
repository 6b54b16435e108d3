/**
 * For whom each event is: written once an event, in the order of the outbox, by the dispatcher that leads. Whoever makes an endpoint locks the same
 * row (webhooks.ts), so an endpoint is asked for every event after its own position, and for none before it.
 */
import type { WebhookSecret } from '../../api/webhook-ports.ts'
import type { DispatchStore, Endpoint, EventRow, FannedOut, Match, WantedEvent } from '../../api/webhooks/ports.ts'
import { signingSecrets } from '../../api/webhooks/signature.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { settle } from './webhook-settle.ts'

/** Read at once, for all and for one endpoint; the bytes are those of the events, and at least one is read. */
const SORTED = { rows: 1_000, bytes: 8_000_000 }
const READ = { rows: 250, bytes: 4_000_000 }
const ROW = (table: string) => `${table}.position, ${epochMs(`${table}.at`)} as at, ${table}.tenant, ${table}.incarnation, ${table}.device,
  ${table}.revision, ${table}.kind, ${table}.event, ${table}.cause`

/** `ofEndpoints`: for what endpoints ask and settle, so that it cannot hold up the events of all. */
export function createDispatchStore(sql: Sql, ofEndpoints = sql): DispatchStore {
  return {
    endpoints: () => endpoints(sql),
    fanOut: (match) => fanOut(sql, match),
    events: (number, after, upTo) => wantedEvents(ofEndpoints, number, after, upTo),
    blocked: (number, most) => blockedDevices(ofEndpoints, number, most),
    settle: (settlement, now) => settle(ofEndpoints, settlement, now),
  }
}

export async function fanOut(sql: Sql, match: Match): Promise<FannedOut> {
  // Without a lock, and in one statement: most looks find nothing.
  const [{ from, found }] = await sql<[{ from: number; found: boolean }]>`
    select position as from, exists (select from outbox o where o.position > f.position) as found from webhook_fan_out f`
  if (!found) return { from, position: from, more: false, events: [] }
  return sql.begin(async (tx) => {
    const [{ position: after }] = await tx<[{ position: number }]>`select position from webhook_fan_out for update`
    const { wanted: read, isFull } = await page(
      tx,
      tx`select position as wanted, position as n, ${tx.unsafe(ROW('o'))} from outbox o where position > ${after} order by position limit ${SORTED.rows}`,
      SORTED,
    )
    const rows = read.map(({ row }) => row!)
    if (rows.length === 0) return { from: after, position: after, more: false, events: [] }
    const position = rows.at(-1)!.position
    // Numbers have no holes: what is not there was dropped before it was its turn, and nobody knows any more for whom it was.
    const dropped = position - after - rows.length
    if (dropped > 0) await tx`update webhooks set missed = missed + ${dropped}::bigint where position < ${position}`
    const wanted = await match(rows, await endpoints(tx, { tenants: [...new Set(rows.map(({ tenant }) => tenant))] }))
    const events = rows.flatMap((row) => (wanted.has(row.position) ? [{ row, endpoints: wanted.get(row.position)! }] : []))
    const written = events.map(({ row, endpoints: numbers }) => ({ position: row.position, endpoints: `{${numbers.join(',')}}` }))
    await tx`
      with moved as (update webhook_fan_out set position = ${position})
      insert into webhook_events (position, at, endpoints)
      select w.position, now(), w.endpoints::int[]
      from json_to_recordset(${JSON.stringify(written)}::text::json) as w (position bigint, endpoints text)`
    return { from: after, position, more: isFull, events }
  })
}

/** JSON columns are parsed here; all else is as it stands. */
export async function endpoints(sql: Queries, which: { number?: number; tenants?: string[] } = {}): Promise<Endpoint[]> {
  const { number, tenants } = which
  const rows = await sql<Array<{ endpoint: string }>>`
    select json_build_object('number', number, 'id', id, 'tenant', tenant, 'url', url, 'types', types::json, 'filter', filter, 'system', system, 'form', form,
      'headers', headers::json, 'auth', auth::json, 'ordered', ordered, 'perSecond', per_second, 'atOnce', at_once, 'status', status,
      'position', position, 'health', health::json, 'secrets', secrets::json)::text as endpoint
    from webhooks where true ${number === undefined ? sql`` : sql`and number = ${number}`}
      ${tenants === undefined ? sql`` : sql`and tenant in (select value from json_array_elements_text(${JSON.stringify(tenants)}::text::json))`}`
  return rows.map(({ endpoint }) => {
    const { secrets, ...rest } = JSON.parse(endpoint) as Omit<Endpoint, 'secrets'> & { secrets: WebhookSecret[] }
    return { ...rest, secrets: signingSecrets(secrets, Date.now()) }
  })
}

async function wantedEvents(sql: Sql, number: number, after: number, upTo: number): Promise<{ wanted: WantedEvent[]; readTo: number }> {
  const { wanted, isFull } = await page(
    sql,
    sql`select e.position as wanted, e.position as n, ${sql.unsafe(ROW('o'))} from (
      select position from webhook_events
      where position > ${after} and position <= ${upTo} and ${number}::int = any (endpoints) order by position limit ${READ.rows}
    ) as e left join outbox o on o.position = e.position`,
    READ,
  )
  return { wanted, readTo: isFull ? wanted.at(-1)!.position : upTo }
}

/** The events of deliveries: of the first of them, as many as are read at once. */
export async function eventsAt(sql: Queries, positions: number[]): Promise<WantedEvent[]> {
  const { wanted } = await page(
    sql,
    sql`select e.position as wanted, n, ${sql.unsafe(ROW('o'))}
      from unnest(${`{${positions.join(',')}}`}::text::bigint[]) with ordinality as e (position, n) left join outbox o on o.position = e.position`,
    READ,
  )
  return wanted
}

/**
 * The first of these events, by `n`, until they come to so many bytes. `isFull`: there may be others. Postgres knows how long a text is without
 * reading it.
 */
async function page(sql: Queries, events: ReturnType<Queries>, most: typeof READ): Promise<{ wanted: WantedEvent[]; isFull: boolean }> {
  const rows = await sql<Array<{ wanted: number; read: number } & EventRow>>`
    select wanted, read, position, at, tenant, incarnation, device, revision, kind, event, cause from (
      select *, sum(length) over (order by n rows unbounded preceding) as read from (
        select *, coalesce(octet_length(event), 0) as length from (${events}) as e
      ) as e
    ) as e where read - length < ${most.bytes} order by n`
  const wanted = rows.map(({ wanted: position, read: _read, ...row }) => ({ position, row: row.position === null ? null : row }))
  return { wanted, isFull: rows.length === most.rows || (rows.at(-1)?.read ?? 0) >= most.bytes }
}

async function blockedDevices(
  sql: Sql,
  number: number,
  most: { devices: number; deliveries: number },
): Promise<{ devices: number[]; deliveries: number }> {
  const open = sql`webhook_deliveries where webhook = ${number} and status in ('retrying', 'behind')`
  const rows = await sql<Array<{ incarnation: number }>>`select distinct incarnation from ${open} limit ${most.devices}`
  const [count] = await sql<[{ deliveries: number }]>`
    select count(*)::int as deliveries from (select from ${open} limit ${most.deliveries}) as open`
  return { devices: rows.map(({ incarnation }) => incarnation), deliveries: count.deliveries }
}
