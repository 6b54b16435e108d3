/**
 * The one transaction of a processor's tick (api/ingest/lane-store.ts, commit).
 *
 * It is built for thirty thousand messages a second on half a machine: telemetry goes by binary COPY; what is written for every busy device
 * goes as few large text parameters, joined by a character that JSON never holds raw and split again in SQL; what is rare goes as one
 * JSON parameter. The lanes are locked first: whoever lost one finds no row, and everything is rolled back.
 */
import { type DeadLetter, type InboxChange, LeaseLost, type TickChanges } from '../../api/ingest/lane-store.ts'
import type { Sql, Transaction } from './connect.ts'
import { alarmChanges } from './lane-alarms.ts'
import { commandChanges } from './lane-commands.ts'
import { updateChanges } from './lane-updates.ts'
import { encodeTelemetry } from './telemetry-copy.ts'

/** U+001E: JSON texts escape it, so it never stands in one. */
const SEPARATOR = '\u001e'

class RolledBack extends Error {}

export async function commitTick(sql: Sql, changes: TickChanges, trial = false): Promise<void> {
  const done = sql.begin(async (tx) => {
    // Sent together, answered together: one round trip.
    const [lanes] = await Promise.all([
      lockLanes(tx, changes),
      ...hotInboxes(
        tx,
        changes.inboxes.filter((inbox) => !inbox.full),
      ),
      ...fullInboxes(
        tx,
        changes.inboxes.filter((inbox) => inbox.full),
      ),
      ...ruledInboxes(
        tx,
        changes.inboxes.filter((inbox) => inbox.ruled),
      ),
      ...statedInboxes(
        tx,
        changes.inboxes.filter((inbox) => inbox.stated),
      ),
      ...rareChanges(tx, changes),
    ])
    if (lanes !== changes.lanes.length) throw new LeaseLost()
    if (changes.news.length > 0) await copyTelemetry(tx, changes)
    if (changes.late.length > 0) await upsertLate(tx, changes)
    if (trial) throw new RolledBack()
  })
  await done.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error
  })
}

async function lockLanes(tx: Transaction, { lanes }: TickChanges): Promise<number> {
  const rows = await tx`
    update lanes set cursors = new.cursors, watermark = to_timestamp(new.watermark / 1000), grace_since = to_timestamp(new.grace / 1000)
    from unnest(${ints(lanes.map((lane) => lane.lane))}::text::int[], ${ints(lanes.map((lane) => lane.epoch))}::text::bigint[],
      string_to_array(${texts(lanes.map((lane) => lane.stored))}, ${SEPARATOR}),
      string_to_array(${texts(lanes.map((lane) => JSON.stringify(lane.cursors)))}, ${SEPARATOR}),
      ${ints(lanes.map((lane) => lane.watermark))}::text::float8[], ${ints(lanes.map((lane) => lane.graceSince))}::text::float8[])
      as new (lane, epoch, stored, cursors, watermark, grace)
    where lanes.lane = new.lane and lanes.epoch = new.epoch and lanes.cursors = new.stored and lanes.owner is not null and lanes.lease_until > now()`
  return rows.count
}

/** What every message changes: a device of which nothing was sealed or answered, and whose clock goes as it did. */
function hotInboxes(tx: Transaction, rows: InboxChange[]): Array<Promise<unknown>> {
  if (rows.length === 0) return []
  return [
    tx`
    update twin_inbox i set last_seen = new.last_seen, connection = nullif(new.connection, ''), latest = new.latest,
      pending = nullif(new.pending, ''), pending_since = new.pending_since, urgent = new.urgent, feature_values = nullif(new.feature_values, ''),
      due_at = new.due_at
    from unnest(${ints(rows.map((row) => row.incarnation))}::text::int[], ${ints(rows.map((row) => row.lastSeen))}::text::bigint[],
      string_to_array(${texts(rows.map((row) => row.connection ?? ''))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.latest))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.pending ?? ''))}, ${SEPARATOR}),
      ${ints(rows.map((row) => row.pendingSince))}::text::bigint[], ${ints(rows.map((row) => row.urgent))}::text::boolean[],
      string_to_array(${texts(rows.map((row) => row.featureValues ?? ''))}, ${SEPARATOR}), ${ints(rows.map((row) => row.dueAt))}::text::bigint[])
      as new (incarnation, last_seen, connection, latest, pending, pending_since, urgent, feature_values, due_at)
    where i.incarnation = new.incarnation`,
  ]
}

/** New rows, and those of which something was sealed or answered, or whose clock went another way. */
function fullInboxes(tx: Transaction, rows: InboxChange[]): Array<Promise<unknown>> {
  if (rows.length === 0) return []
  return [
    tx`
    insert into twin_inbox (incarnation, lane, last_seen, connection, latest, pending, pending_since, urgent, sealed, sealed_seq, sealed_at, wake,
      clock, feature_values, due_at)
    select incarnation, lane, last_seen, nullif(connection, ''), latest, nullif(pending, ''), pending_since, urgent,
      nullif(sealed, ''), sealed_seq, sealed_at, wake, nullif(clock, ''), nullif(feature_values, ''), due_at
    from unnest(${ints(rows.map((row) => row.incarnation))}::text::int[], ${ints(rows.map((row) => row.lane))}::text::smallint[],
      ${ints(rows.map((row) => row.lastSeen))}::text::bigint[],
      string_to_array(${texts(rows.map((row) => row.connection ?? ''))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.latest))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.pending ?? ''))}, ${SEPARATOR}),
      ${ints(rows.map((row) => row.pendingSince))}::text::bigint[], ${ints(rows.map((row) => row.urgent))}::text::boolean[],
      string_to_array(${texts(rows.map((row) => row.sealed ?? ''))}, ${SEPARATOR}),
      ${ints(rows.map((row) => row.sealedSeq))}::text::bigint[], ${ints(rows.map((row) => row.sealedAt))}::text::bigint[],
      string_to_array(${texts(rows.map((row) => row.wake))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.clock ?? ''))}, ${SEPARATOR}),
      string_to_array(${texts(rows.map((row) => row.featureValues ?? ''))}, ${SEPARATOR}), ${ints(rows.map((row) => row.dueAt))}::text::bigint[])
      as new (incarnation, lane, last_seen, connection, latest, pending, pending_since, urgent, sealed, sealed_seq, sealed_at, wake, clock,
        feature_values, due_at)
    on conflict (incarnation) do update set last_seen = excluded.last_seen, connection = excluded.connection, latest = excluded.latest,
      pending = excluded.pending, pending_since = excluded.pending_since, urgent = excluded.urgent, sealed = excluded.sealed,
      sealed_seq = excluded.sealed_seq, sealed_at = excluded.sealed_at, wake = excluded.wake, clock = excluded.clock,
      feature_values = excluded.feature_values, due_at = excluded.due_at`,
  ]
}

/** New rows, and those whose rules are others. */
function ruledInboxes(tx: Transaction, rows: InboxChange[]): Array<Promise<unknown>> {
  if (rows.length === 0) return []
  return [
    tx`
    update twin_inbox i set rules = new.rules, features = nullif(new.features, '')
    from unnest(${ints(rows.map((row) => row.incarnation))}::text::int[], ${ints(rows.map((row) => row.rules))}::text::bigint[],
      string_to_array(${texts(rows.map((row) => row.features ?? ''))}, ${SEPARATOR})) as new (incarnation, rules, features)
    where i.incarnation = new.incarnation`,
  ]
}

function statedInboxes(tx: Transaction, rows: InboxChange[]): Array<Promise<unknown>> {
  if (rows.length === 0) return []
  return [
    tx`
    update twin_inbox i set feature_states = nullif(new.states, '')
    from unnest(${ints(rows.map((row) => row.incarnation))}::text::int[],
      string_to_array(${texts(rows.map((row) => row.featureStates ?? ''))}, ${SEPARATOR})) as new (incarnation, states)
    where i.incarnation = new.incarnation`,
  ]
}

function rareChanges(tx: Transaction, changes: TickChanges): Array<Promise<unknown>> {
  const statements: Array<Promise<unknown>> = []
  if (changes.messageIds.length > 0) {
    statements.push(tx`
      insert into message_ids (incarnation, id, seen_at)
      select incarnation, digest, to_timestamp("seenAt" / 1000.0)
      from json_to_recordset(${JSON.stringify(changes.messageIds)}::text::json) as new (incarnation int, digest uuid, "seenAt" float8)`)
  }
  if (changes.deadLetters.length > 0) {
    const rows = changes.deadLetters.map((letter) => ({ ...letter, raw: Buffer.from(letter.raw).toString('base64') }))
    statements.push(tx`
      insert into dead_letters (at, tenant, device, incarnation, topic, reason, path, detail, message_id, size, raw)
      select to_timestamp(at / 1000.0), tenant, device, incarnation, topic, reason, path, detail, "messageId", size, decode(raw, 'base64')
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (at float8, tenant text, device text, incarnation int, topic text,
        reason text, path text, detail text, "messageId" text, size int, raw text)`)
    statements.push(tx`
      insert into outbox (at, tenant, incarnation, device, kind, event, cause)
      select now(), tenant, incarnation, device, 'dead-letter', event::text, cause::text
      from json_to_recordset(${JSON.stringify(deadLetterEvents(changes.deadLetters))}::text::json)
        as new (tenant text, incarnation int, device text, event json, cause json)`)
  }
  if (changes.errors.length > 0) {
    statements.push(tx`
      insert into device_errors (stream, incarnation, body)
      select stream, incarnation, body
      from json_to_recordset(${JSON.stringify(changes.errors)}::text::json) as new (stream int, incarnation int, body text)`)
  }
  if (changes.reruled.length > 0) {
    // Not where it changed once more since.
    statements.push(tx`
      delete from rule_devices d
      using unnest(${ints(changes.reruled.map(({ incarnation }) => incarnation))}::text::int[],
        ${ints(changes.reruled.map(({ asked }) => asked))}::text::bigint[]) as seen (incarnation, number)
      where d.incarnation = seen.incarnation and d.number = seen.number`)
  }
  if (changes.answers.length > 0) {
    statements.push(tx`delete from twin_answers where id in (select unnest(${ints(changes.answers)}::text::bigint[]))`)
  }
  if (changes.requests.length > 0) {
    statements.push(tx`
      update twin_requests r set seq = new.seq
      from json_to_recordset(${JSON.stringify(changes.requests)}::text::json) as new (id uuid, seq bigint)
      where r.id = new.id`)
  }
  if (changes.refusedRequests.length > 0) {
    statements.push(tx`
      update twin_requests set answered_at = now(), answer = '{"refused":"unknown-kind"}'
      where answered_at is null
        and id in (select value::uuid from json_array_elements_text(${JSON.stringify(changes.refusedRequests)}::text::json) as value)`)
  }
  statements.push(...commandChanges(tx, changes), ...updateChanges(tx, changes), ...alarmChanges(tx, changes))
  if (changes.removed.length > 0) {
    const removed = ints(changes.removed)
    statements.push(
      tx`delete from twin_inbox where incarnation in (select unnest(${removed}::text::int[]))`,
      tx`delete from twin_answers where incarnation in (select unnest(${removed}::text::int[]))`,
      tx`update twin_requests set answered_at = now(), answer = '{"removed":true}'
         where answered_at is null and incarnation in (select unnest(${removed}::text::int[]))`,
      tx`delete from rule_devices where incarnation in (select unnest(${removed}::text::int[]))`,
      tx`delete from wishes where incarnation in (select unnest(${removed}::text::int[]))`,
      tx`update commands set status = 'cancelled', code = 'device-removed', ended_at = now()
         where ended_at is null and incarnation in (select unnest(${removed}::text::int[]))`,
    )
  }
  return statements
}

/** One event of each device and reason, however many there are: with the first of them. */
function deadLetterEvents(letters: DeadLetter[]) {
  const alike = Map.groupBy(letters, ({ incarnation, reason }) => `${incarnation} ${reason}`)
  return [...alike.values()].map((group) => {
    const { at, tenant, incarnation, device, reason, detail, topic, path, messageId } = group[0]!
    const id = messageId === null ? {} : { messageId }
    const event = { at, reason, detail, topic, ...(path !== null && { path }), ...id, count: group.length }
    return { tenant, incarnation, device, event, cause: { by: 'message', ...id } }
  })
}

async function copyTelemetry(tx: Transaction, { news }: TickChanges): Promise<void> {
  const stream =
    await tx`copy telemetry (incarnation, property, ts, received_at, number, other, message_id) from stdin (format binary)`.writable()
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('finish', resolve)
    stream.end(encodeTelemetry(news))
  })
}

/** Of two readings of one moment the one with the greater (received_at, message_id) stays (docs/architecture.md §3.3). */
async function upsertLate(tx: Transaction, { late }: TickChanges): Promise<void> {
  const unique = new Map<string, (typeof late)[number]>()
  for (const reading of late) {
    const key = `${reading.incarnation} ${reading.property} ${reading.ts}`
    const other = unique.get(key)
    if (other === undefined || isGreater(reading, other)) unique.set(key, reading)
  }
  const rows = [...unique.values()].map((reading) => ({
    incarnation: reading.incarnation,
    property: reading.property,
    ts: reading.ts,
    receivedAt: reading.receivedAt,
    number: typeof reading.value === 'number' ? reading.value : null,
    other: typeof reading.value === 'number' ? null : JSON.stringify(reading.value),
    messageId: reading.messageId ?? null,
  }))
  await tx`
    insert into telemetry (incarnation, property, ts, received_at, number, other, message_id)
    select incarnation, property, to_timestamp(ts / 1000.0), to_timestamp("receivedAt" / 1000.0), number, other, "messageId"
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (incarnation int, property int, ts float8, "receivedAt" float8,
      number float8, other text, "messageId" text)
    on conflict (incarnation, property, ts) do update
      set received_at = excluded.received_at, number = excluded.number, other = excluded.other, message_id = excluded.message_id
      where (excluded.received_at, coalesce(excluded.message_id, '') collate "C") > (telemetry.received_at, coalesce(telemetry.message_id, '') collate "C")`
}

function isGreater(a: { receivedAt: number; messageId?: string }, b: { receivedAt: number; messageId?: string }): boolean {
  return a.receivedAt !== b.receivedAt ? a.receivedAt > b.receivedAt : (a.messageId ?? '') > (b.messageId ?? '')
}

function ints(values: Array<number | boolean | null>): string {
  return `{${values.map((value) => (value === null ? 'null' : value)).join(',')}}`
}

function texts(values: string[]): string {
  return values.join(SEPARATOR)
}
