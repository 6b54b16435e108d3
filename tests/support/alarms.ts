/** Alarms as decisions leave them in their table, and rules by which twins raise them. */
import type { Queries } from '../../infra/postgres/connect.ts'
import { alarmQuery } from '../../infra/postgres/decision-alarms.ts'
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import type { Condition, TwinInput, TwinRule } from '../../twin-models/core/types.ts'
import type { TwinKey } from '../../twin-models/ids.ts'

/** One that was raised a minute ago. */
export function alarmRow(more: Partial<AlarmChange> = {}): AlarmChange {
  const raisedAt = Date.now() - 60_000
  return {
    ...{
      n: 1,
      rule: 'hot',
      version: 1,
      severity: 'major',
      status: 'raised',
      text: 'It is hot',
      since: raisedAt,
      raisedAt,
      updatedAt: raisedAt,
    },
    ...{ count: 1, flapping: false, muted: false, acknowledgedAt: null, acknowledgedBy: null, acknowledgedNote: null, shelvedUntil: null },
    ...{ assignee: null, clearedAt: null, clearReason: null, clearedBy: null, clearNote: null, values: { temperature: 50 } },
    ...more,
  }
}

/** Changes of an alarm that make it one that was cleared. */
export function clearedAt(at: number): Partial<AlarmChange> {
  return { status: 'cleared', clearedAt: at, updatedAt: at, clearReason: 'rule' }
}

/** As the decision write does it; there need not be such a device. */
export async function insertAlarms(sql: Queries, { incarnation, tenant, device }: TwinKey, ...alarms: AlarmChange[]): Promise<void> {
  await sql`
    with device as (select ${incarnation}::int as incarnation, ${tenant}::text as tenant, ${device}::text as device, 1 as revision) ${alarmQuery(sql, alarms)}
    select from device`
}

/** Raised above 30 °C, critical above 60 °C, cleared as soon as that is over. */
export function hotRule(more: Partial<TwinRule> = {}): TwinRule {
  const above = (value: number): Condition => ({ kind: 'compare', path: ['telemetry', 'temperature', 'value'], comparison: '>', value })
  return {
    ...{ id: 'hot', version: 1, severity: 'major', text: ['It has ', ['telemetry', 'temperature', 'value'], ' °C'], when: above(30) },
    ...{ forMs: 0, clearForMs: 0, lateMs: 300_000, worse: [{ when: above(60), severity: 'critical' }], onChange: 'keep' },
    ...more,
  }
}

export function rulesFor(...set: TwinRule[]): TwinInput {
  return { kind: 'rules', at: Date.now(), set, removed: [] }
}
