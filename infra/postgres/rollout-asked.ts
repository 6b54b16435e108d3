/** What was asked of rollouts over REST: it stands in their rows until their workflows are told (infra/temporal/rollout-starter.ts). */
import { randomUUID } from 'node:crypto'
import type { RolloutAsk, RolloutStatus } from '../../twin-models/core/rollout-types.ts'
import type { RolloutAsked } from '../../workflows/messages.ts'
import type { Queries } from './connect.ts'

/** More than a person asks for while Temporal is away. */
const MOST_ASKED = 100
const STATUS = "coalesce(state::json ->> 'status', case when spec::json ->> 'approval' = 'none' then 'running' else 'draft' end)"

/** One that has ended can only be rolled back. False: there is none, it has ended, or too much waits. */
export async function askRollout(sql: Queries, tenant: string, id: string, asked: { by: string; ask: RolloutAsk }): Promise<boolean> {
  const { count } = await sql`
    update rollouts set asked = (coalesce(asked, '[]')::jsonb || ${JSON.stringify({ id: randomUUID(), ...asked })}::text::jsonb)::text
    where tenant = ${tenant} and id = ${id} and (ended_at is null or ${asked.ask.action === 'rollback'})
      and jsonb_array_length(coalesce(asked, '[]')::jsonb) < ${MOST_ASKED}`
  return count > 0
}

export interface UntoldRollout {
  id: string
  tenant: string
  /** Null: none was started yet. */
  workflow: string | null
  asked: RolloutAsked['asks']
  /** As its workflow carried it last; of one that has not begun yet, as it will begin. */
  status: RolloutStatus
}

/** Those without a workflow, and those whose workflow is to be told something. */
export async function untoldRollouts(sql: Queries): Promise<UntoldRollout[]> {
  const rows = await sql<Array<Omit<UntoldRollout, 'asked'> & { asked: string | null }>>`
    select id, tenant, workflow, asked, ${sql.unsafe(STATUS)} as status from rollouts
    where asked is not null or (ended_at is null and workflow is null) order by number limit 50`
  return rows.map((row) => ({ ...row, asked: JSON.parse(row.asked ?? '[]') }))
}

/** Those that a workflow works on. */
export async function rolloutsUnderWay(sql: Queries): Promise<UntoldRollout[]> {
  const rows = await sql<Array<Omit<UntoldRollout, 'asked'>>>`
    select id, tenant, workflow, ${sql.unsafe(STATUS)} as status from rollouts where ended_at is null and workflow is not null order by number`
  return rows.map((row) => ({ ...row, asked: [] }))
}

export async function rolloutStarted(sql: Queries, id: string, workflow: string): Promise<void> {
  await sql`update rollouts set workflow = ${workflow} where id = ${id} and workflow is null`
}

/** What was asked meanwhile stays. */
export async function rolloutTold(sql: Queries, id: string, asked: RolloutAsked['asks']): Promise<void> {
  await sql`
    update rollouts set asked = (
      select json_agg(ask order by place)::text from json_array_elements(asked::json) with ordinality as asks (ask, place)
      where ask ->> 'id' not in (select json_array_elements_text(${JSON.stringify(asked.map((ask) => ask.id))}::text::json)))
    where id = ${id} and asked is not null`
}
