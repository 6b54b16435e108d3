/** The processor's store in Postgres. The writing transaction stands in lane-commit.ts, leases in leases.ts. */
import type { CommandState, DeviceRow, InboxRow, LaneDevice, LaneStore, LogEntry } from '../../api/ingest/lane-store.ts'
import { HEARTBEAT_LANE } from '../../api/ingest/log.ts'
import type { Sql } from './connect.ts'
import { commitTick } from './lane-commit.ts'
import { liveRules, outdatedDevices, registeredDevices, ruleChange } from './lane-rules.ts'
import { updateStates } from './lane-updates.ts'
import { currentLanes } from './leases.ts'

/** Property names one tenant may use. */
const NAMES_PER_TENANT = 10_000
const LANE_DEVICES_CHUNK = 2_000

export function postgresLaneStore(sql: Sql): LaneStore {
  return {
    lanes: (lanes) => currentLanes(sql, lanes),
    streams: () => openStreams(sql),
    read: (stream, after, lanes, maxEntries) => readLog(sql, stream, after, lanes, maxEntries),
    devices: (incarnations) => loadDevices(sql, incarnations),
    knownMessages: (ids) => knownMessages(sql, ids),
    properties: (tenant, names) => propertyIds(sql, tenant, names),
    commands: (ids) => commandStates(sql, ids),
    updates: (ids) => updateStates(sql, ids),
    answers: (lanes, limit) => sql`
      select id, incarnation, seq, wake from twin_answers where lane in (select unnest(${list(lanes)}::text::int[])) order by id limit ${limit}`,
    requests: (lanes, limit) => sql`
      select id, incarnation, lane, kind, body from twin_requests
      where seq is null and answered_at is null and lane in (select unnest(${list(lanes)}::text::int[]))
      order by created_at limit ${limit}`,
    removed: (lanes, limit) => sql`
      select incarnation, tenant, device from removed_devices
      where ended_at is null and lane in (select unnest(${list(lanes)}::text::int[])) limit ${limit}`,
    removalTold: async (incarnation) => {
      await sql`update removed_devices set ended_at = now() where incarnation = ${incarnation}`
    },
    ruleChange: () => ruleChange(sql),
    liveRules: () => liveRules(sql),
    outdated: (lanes, limit) => outdatedDevices(sql, lanes, limit),
    registered: (incarnations) => registeredDevices(sql, incarnations),
    laneDevices: (lanes) => laneDevices(sql, lanes),
    connectedThrough: async (stream, lanes) => {
      const rows = await sql<{ incarnation: number }[]>`
        select incarnation from twin_inbox
        where connection is not null and (connection::json ->> 1)::int = ${stream} and lane in (select unnest(${list(lanes)}::text::int[]))`
      return rows.map((row) => row.incarnation)
    },
    copyForSearch: async (rows) => {
      await sql`
        update devices d set telemetry = new.telemetry::jsonb
        from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (incarnation int, telemetry text)
        where d.incarnation = new.incarnation`
    },
    commit: (changes, trial) => commitTick(sql, changes, trial),
    isTransient,
  }
}

async function openStreams(sql: Sql) {
  return await sql<Array<{ stream: number; closed: boolean }>>`
    select stream, closed_at is not null as closed from streams order by stream`
}

async function readLog(sql: Sql, stream: number, after: number, lanes: number[], maxEntries: number): Promise<LogEntry[]> {
  return await sql<LogEntry[]>`
    select stream, seq, lane, (extract(epoch from at) * 1000)::float8 as at, heads, body from ingest_log
    where stream = ${stream} and seq > ${after} and lane in (select unnest(${list([...lanes, HEARTBEAT_LANE])}::text::int[]))
    order by seq limit ${maxEntries}`
}

async function loadDevices(sql: Sql, incarnations: number[]): Promise<DeviceRow[]> {
  type Row = Omit<DeviceRow, 'inbox'> & InboxRow & { hasInbox: boolean }
  const rows = await sql<Row[]>`
    select d.incarnation, d.tenant, d.device, d.model, d.model_version as "modelVersion", i.incarnation is not null as "hasInbox",
      i.last_seen as "lastSeen", i.connection, i.latest, i.pending, i.sealed, i.sealed_seq as "sealedSeq",
      coalesce(i.sealed_at, 0) as "sealedAt", i.wake, i.clock, i.rules, i.features,
      i.feature_states as "featureStates", i.feature_values as "featureValues"
    from devices d left join twin_inbox i using (incarnation)
    where d.incarnation in (select unnest(${list(incarnations)}::text::int[]))`
  return rows.map(({ incarnation, tenant, device, model, modelVersion, hasInbox, ...inbox }) => ({
    incarnation,
    tenant,
    device,
    model,
    modelVersion,
    inbox: hasInbox ? inbox : null,
  }))
}

async function knownMessages(sql: Sql, ids: Array<{ incarnation: number; digest: string }>): Promise<Set<string>> {
  const rows = await sql<Array<{ incarnation: number; id: string }>>`
    select m.incarnation, m.id from message_ids m
    join json_to_recordset(${JSON.stringify(ids)}::text::json) as asked (incarnation int, digest uuid)
      on m.incarnation = asked.incarnation and m.id = asked.digest`
  return new Set(rows.map((row) => `${row.incarnation} ${row.id}`))
}

async function commandStates(sql: Sql, ids: Array<{ incarnation: number; id: string }>): Promise<Map<string, CommandState>> {
  const rows = await sql<Array<CommandState & { incarnation: number; id: string }>>`
    select c.incarnation, c.id, c.name, c.status, c.code, c.ended_at is null as open from commands c
    join (select distinct incarnation, id from json_to_recordset(${JSON.stringify(ids)}::text::json) as asked (incarnation int, id uuid)) asked
      on c.id = asked.id and c.incarnation = asked.incarnation`
  return new Map(rows.map(({ incarnation, id, ...state }) => [`${incarnation} ${id}`, state]))
}

async function propertyIds(sql: Sql, tenant: string, names: string[]): Promise<Map<string, number>> {
  const known = await selectProperties(sql, tenant, names)
  const missing = names.filter((name) => !known.has(name))
  if (missing.length === 0) return known
  await sql`
    insert into properties (tenant, name)
    select ${tenant}, name from unnest(${missing}::text[]) as name
    where (select count(*) from properties where tenant = ${tenant}) + ${missing.length} <= ${NAMES_PER_TENANT}
    on conflict do nothing`
  return await selectProperties(sql, tenant, names)
}

async function selectProperties(sql: Sql, tenant: string, names: string[]): Promise<Map<string, number>> {
  const rows = await sql<Array<{ property: number; name: string }>>`
    select property, name from properties where tenant = ${tenant} and name in (select unnest(${names}::text[]))`
  return new Map(rows.map((row) => [row.name, row.property]))
}

async function* laneDevices(sql: Sql, lanes: number[]): AsyncIterable<LaneDevice[]> {
  yield* sql<LaneDevice[]>`
    select i.incarnation, coalesce(d.tenant, '') as tenant, last_seen as "lastSeen", connection is not null as connected, urgent,
      coalesce(wake::json ->> 'presence', 'never') as presence,
      coalesce((wake::json ->> 'presenceTimeoutMs')::float8, 60000) as "presenceTimeoutMs",
      case when pending is not null then pending_since end as "pendingSince",
      case when sealed is not null then sealed_seq end as "sealedSeq", coalesce(sealed_at, 0) as "sealedAt", due_at as "dueAt"
    from twin_inbox i left join devices d using (incarnation) where lane in (select unnest(${list(lanes)}::text::int[]))`.cursor(
    LANE_DEVICES_CHUNK,
  )
}

function list(values: number[]): string {
  return `{${values.join(',')}}`
}

/** By SQLSTATE class: connection, resources, operator, system, rollback, lock not available; and what the driver or the socket says. */
export function isTransient(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  if (typeof code !== 'string') return false
  return /^(08|40|53|57|58|55P03|25P04|XX)/.test(code) || /^(CONNECT|CONNECTION_|E[A-Z]+$)/.test(code)
}
