/**
 * The decision write: the one transaction in which a decision becomes true (docs/architecture.md §3.9).
 *
 * The usual case is one statement, and so one round trip and one transaction: it updates the device row where it stands at the expected
 * revision, and everything else hangs on that row: history, outbox, answers, and what it means for wishes, commands,
 * updates and alarms. Only when nothing was updated a second transaction looks why.
 * Answers of one device are numbered while its row is locked, so their ids are in the order of its decisions.
 */
import type { Decision, DecisionOutcome, DecisionStore, LastSeen } from '../../activities/ports.ts'
import { expectedPresence } from '../../api/ingest/device.ts'
import { laneOf } from '../../api/ingest/log.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { ToldUpdate, TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { SignJob } from '../../twin-models/firmware/job.ts'
import { USABLE_PROBLEMS, type UsableProblem } from '../../twin-models/firmware/usable.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import type { Queries, Sql } from './connect.ts'
import { effectQueries } from './decision-effects.ts'
import { usableProblemSql } from './firmware.ts'

export interface DecisionStoreOptions {
  /** With the key that devices know as the platform's. */
  signJob: SignJob
}

export function createDecisionStore(sql: Sql, options: DecisionStoreOptions): DecisionStore {
  return {
    write: (decision) =>
      told(async () => ((await writeDecision(sql, decision, options)) ? { outcome: 'written' } : standing(sql, decision, undefined))),
    confirm: (key, revision) => told(() => standing(sql, key, revision)),
    lastSeen: (key) => told(() => lastSeen(sql, key)),
    sentCommands: (key) => told(() => sentCommands(sql, key)),
    sentUpdate: (key, id) => told(() => sentUpdate(sql, key, id)),
  }
}

/** False when the device does not stand at the expected revision, or is not there; nothing was written then. */
async function writeDecision(sql: Queries, decision: Decision, { signJob }: DecisionStoreOptions): Promise<boolean> {
  const { incarnation, seq, events, answers, effects } = decision
  const revision = decision.expectedRevision + 1
  const [kinds, bodies, causes] = [events.map(({ kind }) => kind), events.map(eventText), events.map(({ cause }) => JSON.stringify(cause))]
  const rows = await sql<{ written: boolean }[]>`
    with device as (
      update devices
      set revision = ${revision}, decided_seq = ${seq}, state = ${JSON.stringify(decision.state)},
          decided = ${jsonb(decidedPart(decision.state))}::text::jsonb, decided_at = now()
      where incarnation = ${incarnation} and tenant = ${decision.tenant} and device = ${decision.device}
        and revision = ${decision.expectedRevision}
      returning incarnation, revision, tenant, device
    ), events as (
      select device.*, now() as at, kind, event, cause, n
      from device, unnest(${kinds}::text[], ${bodies}::text[], ${causes}::text[]) with ordinality as e (kind, event, cause, n)
    ), history as (
      insert into twin_history (incarnation, revision, n, at, kind, event, cause)
      select incarnation, revision, n, at, kind, event, cause from events
    ), published as (
      insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
      select at, tenant, incarnation, device, revision, kind, event, cause from events order by n
    ), answered as (
      update twin_requests r set answered_at = now(), answer = a.answer
      from device, unnest(${answers.map(({ request }) => request)}::text[], ${answers.map(({ answer }) => JSON.stringify(answer))}::text[])
        as a (id, answer)
      where r.id = a.id::uuid and r.incarnation = device.incarnation and r.answered_at is null
    ), answer as (
      insert into twin_answers (lane, incarnation, seq, wake)
      select ${laneOf(incarnation)}::smallint, device.incarnation, ${seq}::bigint, ${JSON.stringify(decision.wake)}::text from device
    )${effects ? effectQueries(sql, decision, effects, signJob) : sql``}
    select true as written from device`
  return rows.length > 0
}

/**
 * Where Postgres stands, if not at `revision`. The newest seal decided on is answered again in the same transaction, with the wake
 * conditions of that very state: whoever waits for it may have lost the first answer.
 */
async function standing(sql: Sql, key: TwinKey, revision: number | undefined): Promise<DecisionOutcome> {
  const { incarnation } = key
  return sql.begin(async (tx): Promise<DecisionOutcome> => {
    const [device] = await tx<{ revision: number; seq: number; state: string | null }[]>`
      select revision, decided_seq as seq, state from devices
      where incarnation = ${incarnation} and tenant = ${key.tenant} and device = ${key.device}
      for no key update`
    if (!device) return { outcome: 'gone' }
    const state = device.state === null ? null : upgrade(JSON.parse(device.state) as TwinState)
    if (state) {
      await tx`
        insert into twin_answers (lane, incarnation, seq, wake)
        values (${laneOf(incarnation)}, ${incarnation}, ${device.seq}, ${JSON.stringify(wakeOf(state))})`
    }
    return device.revision === revision ? { outcome: 'written' } : { outcome: 'ahead', state }
  })
}

/** Silence that our own outage would explain is none: grace counts as a sign of life. */
export async function lastSeen(sql: Queries, { tenant, device, incarnation }: TwinKey): Promise<LastSeen | null> {
  const [row] = await sql<LastSeen[]>`
    select greatest(coalesce(i.last_seen, 0), coalesce(extract(epoch from l.grace_since) * 1000, 0))::bigint as "lastSeenAt",
      i.connection is not null as connected,
      coalesce(extract(epoch from l.watermark) * 1000, 0)::bigint as watermark
    from devices d
    left join twin_inbox i on i.incarnation = d.incarnation
    left join lanes l on l.lane = ${laneOf(incarnation)}
    where d.incarnation = ${incarnation} and d.tenant = ${tenant} and d.device = ${device}`
  return row ?? null
}

async function sentCommands(sql: Queries, { tenant, device, incarnation }: TwinKey): Promise<string[] | null> {
  const rows = await sql<{ id: string | null }[]>`
    select c.id from devices d
    left join commands c on c.incarnation = d.incarnation and c.ended_at is null and c.sent_at is not null
    where d.incarnation = ${incarnation} and d.tenant = ${tenant} and d.device = ${device}`
  return rows.length === 0 ? null : rows.flatMap(({ id }) => (id === null ? [] : [id]))
}

/** By when its device was first told: one that is told again and again, because it does not answer or comes and goes, gets no more time by that. */
async function sentUpdate(sql: Queries, { tenant, device, incarnation }: TwinKey, id: string): Promise<ToldUpdate | null> {
  const [row] = await sql<
    Array<Omit<ToldUpdate, 'id' | 'presence' | 'unusable'> & Parameters<typeof expectedPresence>[0] & { problem: UsableProblem | null }>
  >`
    select (extract(epoch from coalesce(u.told_at, u.sent_at)) * 1000)::bigint as "sentAt", coalesce(u.status, 'scheduled') as status,
      (extract(epoch from u.status_at) * 1000)::bigint as "statusAt", i.last_seen as "lastSeenAt",
      case when f.id is not null then ${sql.unsafe(usableProblemSql)} end as problem, i.pending, i.sealed, w.wake
    from devices d
    left join updates u on u.id = ${id} and u.incarnation = d.incarnation
    left join firmware f on f.id = u.firmware
    left join twin_inbox i on i.incarnation = d.incarnation
    left join twin_wakes w on w.incarnation = d.incarnation
    where d.incarnation = ${incarnation} and d.tenant = ${tenant} and d.device = ${device}`
  if (!row) return null
  const { pending, sealed, wake, problem, ...told } = row
  const presence = expectedPresence({ pending, sealed, wake })
  return {
    id,
    ...told,
    ...(problem && { unusable: { code: problem, message: USABLE_PROBLEMS[problem] } }),
    ...(presence !== undefined && { presence }),
  }
}

/** The event without what has a column of its own. */
function eventText({ kind: _kind, cause: _cause, ...event }: Decision['events'][number]): string {
  return JSON.stringify(event)
}

/** jsonb holds no NUL and no half of a surrogate pair, and a device may send both. */
function jsonb(value: unknown): string {
  const text = JSON.stringify(value)
  if (!/\\u(0000|d[89a-f])/i.test(text)) return text
  return JSON.stringify(value, (_key, part) => (typeof part === 'string' ? part.toWellFormed().replaceAll('\0', '\uFFFD') : part))
}

/**
 * Errors in the catalogue's words. Data that Postgres cannot hold (class 22) stays so however often it is tried; everything else is
 * taken for trouble that passes, a missing partition (23514) included.
 */
async function told<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    const code = (error as { code?: unknown }).code
    if (typeof code !== 'string' || !/^22/.test(code)) throw error
    throw new CastorError('invalid', `Postgres cannot hold this decision: ${(error as Error).message}`, { cause: error })
  }
}
