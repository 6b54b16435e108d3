/**
 * Working off the actions of rules: whose turn it is, and each one with all that it writes in a transaction of its own.
 *
 * Those of one rule on one device are a line: an action waits until all before it in its line have ended.
 */
import type { ActionAtWork, ActionHands, ActionPorts, ActionStore, Carried, CarryOut, DueAction, Outcome } from '../../api/alarms/ports.ts'
import { OPEN_COMMANDS } from '../../twin-models/core/commands.ts'
import { CastorError, ERRORS } from '../../twin-models/errors.ts'
import { epochMs } from './columns.ts'
import { openCommands, writeCommand } from './commands.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { insertRequest } from './requests.ts'
import { takeTurns, writeTold } from './rule-action-take.ts'
import { findTwin } from './twins.ts'

/** Looked at together: of one tenant, and of all. */
const PAGE = { ofTenant: 32, all: 128 }
/** Of what may work out another time: doubled each time, with a bound. */
const RETRY = { firstMs: 1_000, mostMs: 300_000, attempts: 12 }
const REASON_LENGTH = 1_000

export function createActionStore(sql: Sql, ports: ActionPorts<Transaction>): ActionStore {
  return {
    take: (plan) => takeTurns(sql, plan),
    due: () => dueActions(sql),
    carryOut: (id, act) => carryOut(sql, ports, id, act),
  }
}

/** The oldest of each tenant, then the second of each, and so on. */
async function dueActions(sql: Sql): Promise<DueAction[]> {
  return sql<DueAction[]>`
    with recursive tenants as (
      (select tenant from rule_actions where state = 'waiting' order by tenant limit 1)
      union all
      select (select a.tenant from rule_actions a where a.state = 'waiting' and a.tenant > t.tenant order by a.tenant limit 1)
      from tenants t where t.tenant is not null
    )
    select a.id, a.kind, a.line from tenants t cross join lateral (
      select id, number, kind, line, row_number() over (order by number) as nth from (
        select a.id, a.number, a.kind, json_build_array(a.incarnation, a.rule)::text as line from rule_actions a
        where a.tenant = t.tenant and a.state = 'waiting' and a.due <= now() and not exists (
          select from rule_actions e where e.state = 'waiting' and e.incarnation = a.incarnation and e.rule = a.rule
            and e.number < a.number and e.due > now())
        order by a.number limit ${PAGE.ofTenant}
      ) as a
    ) as a
    where t.tenant is not null order by a.nth, a.number limit ${PAGE.all}`
}

async function carryOut(sql: Sql, ports: ActionPorts<Transaction>, id: string, act: CarryOut): Promise<Carried> {
  try {
    return await sql.begin(async (tx): Promise<Carried> => {
      const work = await lock(tx, id)
      if (!work) return { outcome: 'passed' }
      const outcome = await act(work, handsOf(tx, ports))
      await end(tx, id, outcome)
      return 'failed' in outcome ? { outcome: 'failed' } : { outcome: 'done', delayMs: Math.max(0, Date.now() - work.at) }
    })
  } catch (error) {
    // What it had written is gone with its transaction. Where Postgres is not there this throws as well, and nothing is counted.
    if (error instanceof CastorError && !ERRORS[error.code].retryable) {
      await end(sql, id, { failed: error.message })
      return { outcome: 'failed' }
    }
    return postpone(sql, id, error as Error)
  }
}

/** Undefined: somebody else has it, it has ended, or its turn is not there (any more). */
async function lock(tx: Transaction, id: string): Promise<ActionAtWork | undefined> {
  const [row] = await tx<Array<Omit<ActionAtWork, 'alarm' | 'action'> & { alarm: string; action: string | null }>>`
    select a.id, a.tenant, a.incarnation, a.device, a.n, a.rule, a.rule_version as version, a.turn, a.place, ${tx.unsafe(epochMs('a.at'))} as at,
      a.alarm, (select v.body::json -> 'actions' -> a.place::int from rule_versions v
        where v.tenant = a.tenant and v.name = a.rule and v.version = a.rule_version)::text as action,
      (select v.body::json ->> 'verifyFor' from rule_versions v
        where v.tenant = a.tenant and v.name = a.rule and v.version = a.rule_version) as "verifyFor"
    from rule_actions a
    where a.id = ${id}::uuid and a.state = 'waiting' and a.due <= now() and not exists (
      select from rule_actions e where e.state = 'waiting' and e.incarnation = a.incarnation and e.rule = a.rule and e.number < a.number)
    for update of a skip locked`
  return row && { ...row, alarm: JSON.parse(row.alarm), action: row.action === null ? undefined : JSON.parse(row.action) }
}

function handsOf(tx: Transaction, { openTicket, requestPrediction }: ActionPorts<Transaction>): ActionHands {
  return {
    twin: (tenant, device) => findTwin(tx, tenant, device),
    hasRoom: async (incarnation, replaced) => (await openCommands(tx, incarnation, replaced)) < OPEN_COMMANDS,
    command: (command) => writeCommand(tx, command),
    request: (request) => insertRequest(tx, request),
    tell: (told) => writeTold(tx, told),
    openTicket: openTicket && ((ticket) => openTicket(tx, ticket)),
    requestPrediction: requestPrediction && ((prediction) => requestPrediction(tx, prediction)),
  }
}

async function end(sql: Queries, id: string, outcome: Outcome): Promise<void> {
  const {
    result,
    target = null,
    failed,
  } = 'failed' in outcome ? { result: null, failed: outcome.failed.slice(0, REASON_LENGTH) } : { ...outcome, failed: null }
  await sql`
    update rule_actions set state = ${failed === null ? 'done' : 'failed'}, result = ${result}, target = ${target}::int,
      error = ${failed}, ended_at = now()
    where id = ${id}::uuid and state = 'waiting'`
}

async function postpone(sql: Sql, id: string, error: Error): Promise<Carried> {
  const { firstMs, mostMs, attempts } = RETRY
  const [row] = await sql<Array<{ state: string }>>`
    update rule_actions set attempts = attempts + 1, error = ${error.message.slice(0, REASON_LENGTH)},
      state = case when attempts + 1 >= ${attempts} then 'failed' else 'waiting' end,
      ended_at = case when attempts + 1 >= ${attempts} then now() end,
      due = now() + least(${mostMs}::float8, ${firstMs}::float8 * power(2, attempts)) * (0.75 + random() / 2) * interval '1 millisecond'
    where id = ${id}::uuid and state = 'waiting' returning state`
  return { outcome: row?.state === 'failed' ? 'failed' : 'waiting' }
}
