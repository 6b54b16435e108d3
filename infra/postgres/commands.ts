/** Commands as REST writes and reads them. What becomes of them, the decision write, the bridge and the processor say. */
import type { CommandIds, CommandRow, Commands, NewCommand } from '../../api/command-ports.ts'
import type { IdempotencyClaim } from '../../api/ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { claimKey, releaseKey } from './idempotency.ts'

export function createCommands(sql: Sql): Commands {
  return {
    insert: (command, claim) => insertCommand(sql, command, claim),
    releaseKey: (tenant, keyHash, ids) => releaseKey(sql, tenant, keyHash, storedIds(ids)),
    find: (tenant, id) => findCommand(sql, tenant, id),
    list: (query) => listCommands(sql, query),
    ended: async (ids) => sql`select id from commands where id = any(${ids}::uuid[]) and ended_at is not null`,
  }
}

async function insertCommand(sql: Sql, command: NewCommand, claim: IdempotencyClaim | undefined): Promise<'written' | 'gone' | 'claimed'> {
  if (!claim) return (await writeCommand(sql, command)) ? 'written' : 'gone'
  return sql.begin(async (tx) => {
    const response = storedIds({ command: command.id, request: command.request.id })
    if (!(await claimKey(tx, command.tenant, claim, response))) return 'claimed'
    if (await writeCommand(tx, command)) return 'written'
    await releaseKey(tx, command.tenant, claim.keyHash, response)
    return 'gone'
  })
}

function storedIds({ command, request }: CommandIds): string {
  return JSON.stringify({ command, request })
}

/** One statement, and so one transaction. It holds on to the device: its removal comes after, and ends what was asked before. */
export async function writeCommand(sql: Queries, { request, ...command }: NewCommand): Promise<boolean> {
  const { count } = await sql`
    with device as (
      select incarnation, tenant, device from devices
      where incarnation = ${command.incarnation} and tenant = ${command.tenant} for key share
    ), command as (
      insert into commands (id, tenant, incarnation, device, name, input, requested_by, repeatable, retry_ms, max_attempts, expires_at)
      select ${command.id}::uuid, tenant, incarnation, device, ${command.name}, ${command.input}, ${command.requestedBy},
        ${command.repeatable}::boolean, ${command.retryMs}::integer, ${command.maxAttempts}::integer,
        ${new Date(command.expiresAt).toISOString()}::text::timestamptz
      from device
    )
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select ${request.id}::uuid, tenant, incarnation, incarnation % 16, 'command', ${request.body} from device`
  return count > 0
}

/** Of a device. `but`: without those of that name. */
export async function openCommands(sql: Queries, incarnation: number, but: string | undefined): Promise<number> {
  const [{ count }] = await sql<[{ count: number }]>`
    select count(*)::int as count from commands
    where incarnation = ${incarnation} and ended_at is null ${but === undefined ? sql`` : sql`and name <> ${but}`}`
  return count
}

const COLUMNS = `c.id, c.number, c.tenant, c.incarnation, c.device, c.name, c.input, c.status, c.output, c.code, c.message, c.progress,
  c.attempts, c.requested_by as "requestedBy", ${epochMs('c.created_at')} as "createdAt", ${epochMs('c.expires_at')} as "expiresAt",
  ${epochMs('c.released_at')} as "releasedAt", ${epochMs('c.sent_at')} as "sentAt", ${epochMs('c.acknowledged_at')} as "acknowledgedAt",
  ${epochMs('c.ended_at')} as "endedAt", c.late, (extract(epoch from c.created_at) * 1000000)::bigint as "createdMicros"`

async function findCommand(sql: Queries, tenant: string, id: string): Promise<CommandRow | undefined> {
  const [row] = await sql<CommandRow[]>`select ${sql.unsafe(COLUMNS)} from commands c where c.tenant = ${tenant} and c.id = ${id}`
  return row
}

type Query = Parameters<Commands['list']>[0]

async function listCommands(sql: Queries, query: Query): Promise<CommandRow[] | undefined> {
  const { tenant, device, statuses, page } = query
  if (device !== undefined) {
    const [found] = await sql<Array<{ incarnation: number }>>`
      select incarnation from devices where tenant = ${tenant} and device = ${device}`
    if (!found) return undefined
    return sql<CommandRow[]>`
      select ${sql.unsafe(COLUMNS)} from commands c
      where c.incarnation = ${found.incarnation} ${statuses ? sql`and c.status = any(${statuses as string[]}::text[])` : sql``} ${narrowed(sql, query)}
      order by c.created_at desc, c.number desc limit ${page.limit}`
  }
  if (!statuses) {
    return sql<CommandRow[]>`
      select ${sql.unsafe(COLUMNS)} from commands c where c.tenant = ${tenant} ${narrowed(sql, query)}
      order by c.created_at desc, c.number desc limit ${page.limit}`
  }
  // Each status by its own range of the index, no more than a page of it; then merged. So a page costs the same however many there are.
  return sql<CommandRow[]>`
    select ${sql.unsafe(COLUMNS)} from unnest(${statuses as string[]}::text[]) as wanted (status) cross join lateral (
      select * from commands c where c.tenant = ${tenant} and c.status = wanted.status ${narrowed(sql, query)}
      order by c.created_at desc, c.number desc limit ${page.limit}
    ) c
    order by c.created_at desc, c.number desc limit ${page.limit}`
}

function narrowed(sql: Queries, { name, from, to, page: { after } }: Query) {
  const at = (ms: number) => sql`${new Date(ms).toISOString()}::text::timestamptz`
  return sql`
    ${name === undefined ? sql`` : sql`and c.name = ${name}`}
    ${from === undefined ? sql`` : sql`and c.created_at >= ${at(from)}`}
    ${to === undefined ? sql`` : sql`and c.created_at < ${at(to)}`}
    ${
      after === undefined
        ? sql``
        : sql`and (c.created_at, c.number) <
            ('epoch'::timestamptz + ${after.createdMicros}::bigint * interval '1 microsecond', ${after.number}::bigint)`
    }`
}

/** Housekeeping: thirty days after the end, in bounded steps. Returns how many went. */
export async function forgetEndedCommands(sql: Queries): Promise<number> {
  const gone = await sql`
    delete from commands where id in (select id from commands where ended_at < now() - interval '30 days' order by ended_at limit 5000)`
  return gone.count
}
