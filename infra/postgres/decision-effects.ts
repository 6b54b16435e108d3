/**
 * What a decision makes of its device's wishes, commands, updates and alarms, as parts of the decision write's one statement (decision-store.ts). They
 * hang on its `device`: where the decision is not written, nor are they.
 */
import type { DecisionEffects } from '../../twin-models/core/effects.ts'
import type { SignJob } from '../../twin-models/firmware/job.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import type { Queries } from './connect.ts'
import { alarmQuery } from './decision-alarms.ts'
import { updateQuery, updateRowChanges } from './decision-updates.ts'

/** Answers after the end that a command keeps. */
export const LATE_ANSWERS = 10

/** Further `with` queries, each with its comma before it. */
export function effectQueries(sql: Queries, key: TwinKey, { wish, updates, alarms, ...effects }: DecisionEffects, signJob: SignJob) {
  const updateChanges = updateRowChanges(key, updates, signJob)
  return sql`${wish ? wishQuery(sql, wish) : sql``} ${commandQuery(sql, commandChanges(effects))} ${updateQuery(sql, updateChanges)}
    ${alarmQuery(sql, alarms)}`
}

/** What was sent of this version, and how often, stays known; a new version begins anew. */
function wishQuery(sql: Queries, { version, body, answered, retryMs }: NonNullable<DecisionEffects['wish']>) {
  return sql`, wished as (
      insert into wishes (incarnation, version, body, answered, retry_ms)
      select device.incarnation, ${version}::int, ${body && JSON.stringify(body)}::text, ${answered}::boolean, ${retryMs}::int from device
      on conflict (incarnation) do update set version = excluded.version, body = excluded.body, answered = excluded.answered,
        retry_ms = excluded.retry_ms,
        sent_at = case when wishes.version = excluded.version then wishes.sent_at end,
        attempts = case when wishes.version = excluded.version then wishes.attempts else 0 end
    )`
}

export interface CommandChange {
  id: string
  released?: true
  status?: string
  /** JSON. */
  output?: string
  code?: string
  message?: string
  tell?: boolean
  /** JSON of one answer. */
  late?: string[]
}

/** One change a command, since one statement changes a row only once. */
export function commandChanges({ released, ended, late }: Omit<DecisionEffects, 'wish' | 'updates' | 'alarms'>): CommandChange[] {
  const changes = new Map<string, CommandChange>()
  const of = (id: string): CommandChange => {
    const change = changes.get(id) ?? { id }
    changes.set(id, change)
    return change
  }
  for (const id of released) of(id).released = true
  for (const { id, output, ...end } of ended) Object.assign(of(id), end, output === undefined ? {} : { output: JSON.stringify(output) })
  for (const { id, ...answer } of late) of(id).late = [...(of(id).late ?? []), JSON.stringify(answer)]
  return [...changes.values()]
}

/** The first end stays. The device is told of it only if it had been told of the command. */
function commandQuery(sql: Queries, changes: CommandChange[]) {
  if (changes.length === 0) return sql``
  const rows = changes.map(({ late, ...change }) => ({ ...change, late: late && `[${late.join(',')}]` }))
  return sql`, commanded as (
      update commands c set
        released_at = case when new.released then coalesce(c.released_at, now()) else c.released_at end,
        status = case when new.status is not null and c.ended_at is null then new.status else c.status end,
        output = case when new.status is not null and c.ended_at is null then new.output else c.output end,
        code = case when new.status is not null and c.ended_at is null then new.code else c.code end,
        message = case when new.status is not null and c.ended_at is null then new.message else c.message end,
        cancel_at = case when new.tell and c.ended_at is null and c.sent_at is not null then now() else c.cancel_at end,
        ended_at = case when new.status is not null then coalesce(c.ended_at, now()) else c.ended_at end,
        late = case when new.late is null or json_array_length(coalesce(c.late, '[]')::json) >= ${LATE_ANSWERS}::int then c.late
          else coalesce(left(c.late, -1) || ',' || substr(new.late, 2), new.late) end
      from device, json_to_recordset(${JSON.stringify(rows)}::text::json) as new (id uuid, released boolean, status text, output text, code text,
        message text, tell boolean, late text)
      where c.id = new.id and c.incarnation = device.incarnation
    )`
}
