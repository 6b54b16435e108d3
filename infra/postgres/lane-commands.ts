/** What devices said of commands, as parts of a tick's transaction (lane-commit.ts). Their ends are decisions, and written elsewhere. */
import type { TickChanges } from '../../api/ingest/lane-store.ts'
import type { Transaction } from './connect.ts'
import { LATE_ANSWERS } from './decision-effects.ts'

export function commandChanges(tx: Transaction, { commandNews, commandLate }: TickChanges): Array<Promise<unknown>> {
  const statements: Array<Promise<unknown>> = []
  if (commandNews.length > 0) {
    // A status never goes back, whatever order words come in.
    statements.push(tx`
      update commands c set
        status = case when c.status in ('queued', 'sent') or (c.status = 'acknowledged' and new.status = 'running') then new.status else c.status end,
        acknowledged_at = coalesce(c.acknowledged_at, to_timestamp(new.at / 1000.0)), progress = coalesce(new.progress, c.progress)
      from json_to_recordset(${JSON.stringify(commandNews)}::text::json) as new (id uuid, status text, progress text, at float8)
      where c.id = new.id and c.ended_at is null`)
  }
  if (commandLate.length > 0) {
    statements.push(tx`
      update commands c set late = (
        select json_agg(answer order by place)::text from (
          select answer, place from json_array_elements(coalesce(c.late, '[]')::json) with ordinality as known (answer, place)
          union all
          select answer, ${LATE_ANSWERS}::int + place from json_array_elements(new.late) with ordinality as added (answer, place)
          order by place limit ${LATE_ANSWERS}::int) as kept)
      from json_to_recordset(${JSON.stringify(byCommand(commandLate))}::text::json) as new (id uuid, late json)
      where c.id = new.id and json_array_length(coalesce(c.late, '[]')::json) < ${LATE_ANSWERS}::int`)
  }
  return statements
}

/** One row a command, since one statement changes a row only once. */
function byCommand(late: TickChanges['commandLate']): Array<{ id: string; late: unknown[] }> {
  const rows = new Map<string, unknown[]>()
  for (const { id, answer } of late) {
    const answers = rows.get(id) ?? []
    rows.set(id, answers)
    if (answers.length < LATE_ANSWERS) answers.push(JSON.parse(answer))
  }
  return [...rows].map(([id, answers]) => ({ id, late: answers }))
}
