/**
 * What a decision makes of the rows of its device's alarms, as part of the decision write's one statement (decision-store.ts). It hangs on its
 * `device`: where the decision is not written, nor is this.
 */
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import type { Queries } from './connect.ts'

/** A further `with` query, with its comma before it. What is cleared stays so. */
export function alarmQuery(sql: Queries, changes: AlarmChange[]) {
  if (changes.length === 0) return sql``
  return sql`, alarmed as (
      insert into alarms (incarnation, n, tenant, device, rule, rule_version, severity, status, text, since, raised_at, updated_at, count,
        flapping, muted, acknowledged_at, acknowledged_by, acknowledged_note, shelved_until, assignee, cleared_at, clear_reason, cleared_by,
        clear_note, "values", revision)
      select device.incarnation, new.n, device.tenant, device.device, new.rule, new.version, new.severity, new.status, new.text, new.since,
        new."raisedAt", new."updatedAt", new.count, new.flapping, new.muted, new."acknowledgedAt", new."acknowledgedBy",
        new."acknowledgedNote", new."shelvedUntil", new.assignee, new."clearedAt", new."clearReason", new."clearedBy", new."clearNote",
        new."values", device.revision
      from device, json_to_recordset(${JSON.stringify(changes.map(stored))}::text::json) as new (n int, rule text, version int, severity text,
        status text, text text, since timestamptz, "raisedAt" timestamptz, "updatedAt" timestamptz, count int, flapping boolean, muted boolean,
        "acknowledgedAt" timestamptz, "acknowledgedBy" text, "acknowledgedNote" text, "shelvedUntil" timestamptz, assignee text,
        "clearedAt" timestamptz, "clearReason" text, "clearedBy" text, "clearNote" text, "values" text)
      order by new.n
      on conflict (incarnation, n) do update set rule_version = excluded.rule_version, severity = excluded.severity, status = excluded.status,
        text = excluded.text, updated_at = excluded.updated_at, count = excluded.count, flapping = excluded.flapping, muted = excluded.muted,
        acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
        acknowledged_note = excluded.acknowledged_note, shelved_until = excluded.shelved_until, assignee = excluded.assignee,
        cleared_at = excluded.cleared_at, clear_reason = excluded.clear_reason, cleared_by = excluded.cleared_by,
        clear_note = excluded.clear_note, "values" = excluded."values", revision = excluded.revision,
        last_written_at = now()
        where alarms.cleared_at is null
    )`
}

/** Times as RFC 3339, and what was read as JSON in its own right: a device may have sent U+0000, which no column takes unescaped. */
function stored({ since, raisedAt, updatedAt, acknowledgedAt, shelvedUntil, clearedAt, values, ...change }: AlarmChange) {
  return {
    ...change,
    since: time(since),
    raisedAt: time(raisedAt),
    updatedAt: time(updatedAt),
    acknowledgedAt: timeOrNull(acknowledgedAt),
    shelvedUntil: timeOrNull(shelvedUntil),
    clearedAt: timeOrNull(clearedAt),
    values: JSON.stringify(values),
  }
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : time(ms)
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}
