/**
 * What became of deliveries, in one transaction with what it means for their endpoint: its breaker, its position, whether its workflow has
 * something to do, whether it is disabled. Dispatcher and workflow both settle; the endpoint's row is locked meanwhile.
 */
import type { Endpoint, Settled, Settlement } from '../../api/webhooks/ports.ts'
import { allowedBy, type Breaker, breakerAfter, isProbe, nextTryAt } from '../../twin-models/core/delivery.ts'
import type { Sql, Transaction } from './connect.ts'
import { disableWebhook } from './webhook-disabled.ts'

/** Attempts that a delivery remembers, the newest. */
const REMEMBERED = 12
/** A look that comes so much too late is no matter. */
const LATE_MS = 1_000

interface Locked {
  status: Endpoint['status']
  health: string
  looksAt: number | null
}

interface Known {
  position: number
  attempts: number
  log: string
}

interface DeliveryRow {
  position: number
  at: number
  incarnation: number
  device: string
  type: string
  status: 'delivered' | 'retrying' | 'behind' | 'failed'
  attempts: number
  next: number | null
  log: string
}

/** Undefined: the endpoint is gone. */
export async function settle(
  sql: Sql,
  settlement: Settlement,
  now: number,
  random = Math.random,
): Promise<Pick<Endpoint, 'status' | 'health'> | undefined> {
  const { number, settled } = settlement
  return sql.begin(async (tx) => {
    const [endpoint] = await tx<Locked[]>`
      select status, health, floor(extract(epoch from looks_at) * 1000)::float8 as "looksAt"
      from webhooks where number = ${number} for update`
    if (!endpoint) return undefined
    const before = JSON.parse(endpoint.health) as Breaker
    const { health, disabled } = healthAfter(before, settled, random)
    const rows = await rowsOf(tx, number, settled, before, now, random)
    if (rows.length > 0) await writeRows(tx, number, rows)
    const isHealthy = allowedBy(before, now) !== 'everything' && allowedBy(health, now) === 'everything'
    // It answers again: what waited for that need not wait for its own time.
    if (isHealthy) await tx`update webhook_deliveries set next_at = now() where webhook = ${number} and status = 'retrying'`
    const isDisabled = disabled !== undefined && endpoint.status !== 'disabled'
    await writeEndpoint(tx, settlement, {
      health,
      looksAt: endpoint.looksAt,
      due: isHealthy ? now : dueOf(rows, health),
    })
    if (isDisabled) await disableWebhook(tx, number, disabled.reason, disabled.detail)
    return { status: isDisabled ? 'disabled' : endpoint.status, health }
  })
}

interface HealthAfter {
  health: Breaker
  disabled?: { reason: 'gone' | 'failing'; detail: string }
}

/** In the order in which they ended. */
function healthAfter(before: Breaker, settled: Settled[], random: () => number): HealthAfter {
  let health = before
  let disabled: HealthAfter['disabled']
  for (const { tried } of settled) {
    if (!tried) continue
    const { startedAt, attempt, outcome } = tried
    const after = breakerAfter(health, outcome, { startedAt, now: startedAt + attempt.ms, random: random() })
    health = after.breaker
    disabled ??= after.disabled
  }
  return { health, ...(disabled && { disabled }) }
}

async function rowsOf(
  tx: Transaction,
  number: number,
  settled: Settled[],
  before: Breaker,
  now: number,
  random: () => number,
): Promise<DeliveryRow[]> {
  const positions = settled.map(({ position }) => position)
  const known = await tx<Known[]>`
    select position, attempts, log from webhook_deliveries
    where webhook = ${number} and position in (select unnest(${`{${positions.join(',')}}`}::text::bigint[]))`
  const byPosition = new Map(known.map((row) => [row.position, row]))
  return settled.map(({ position, at, incarnation, device, type, tried }) => {
    const { attempts = 0, log = '[]' } = byPosition.get(position) ?? {}
    const row = { position, at, incarnation, device, type }
    if (!tried) return { ...row, status: 'behind', attempts, next: null, log }
    const { startedAt, attempt, outcome } = tried
    const remembered = JSON.stringify([...JSON.parse(log), { at: startedAt, ...attempt }].slice(-REMEMBERED))
    // A probe is no try of the delivery that it carries.
    const tries = attempts + (attempts > 0 && isProbe(before, startedAt) ? 0 : 1)
    if (outcome.kind === 'delivered') return { ...row, status: 'delivered', attempts: tries, next: null, log: remembered }
    const next = nextTryAt(tries, outcome, now, random())
    return { ...row, status: next === undefined ? 'failed' : 'retrying', attempts: tries, next: next ?? null, log: remembered }
  })
}

/** Those of an ended delivery that somebody sends again keep what they remember. */
async function writeRows(tx: Transaction, number: number, rows: DeliveryRow[]): Promise<void> {
  await tx`
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, attempts, next_at, ended_at, log)
    select ${number}, position, to_timestamp(at / 1000), incarnation, device, type, status, attempts, to_timestamp(next / 1000),
      case when status in ('delivered', 'failed') then now() end, log
    from json_to_recordset(${JSON.stringify(rows)}::text::json)
      as r (position bigint, at float8, incarnation int, device text, type text, status text, attempts int, next float8, log text)
    on conflict (webhook, position) do update set status = excluded.status, attempts = excluded.attempts, next_at = excluded.next_at,
      ended_at = excluded.ended_at, log = excluded.log`
}

/** When its workflow has something to do; undefined: nothing. */
function dueOf(rows: DeliveryRow[], { probeAt }: Breaker): number | undefined {
  const times = rows.flatMap(({ status, next }) => (status === 'behind' ? [0] : next === null ? [] : [next]))
  if (times.length === 0) return undefined
  return probeAt ?? Math.min(...times)
}

interface After {
  health: Breaker
  looksAt: number | null
  due: number | undefined
}

async function writeEndpoint(tx: Transaction, { number, position, missed = 0 }: Settlement, after: After): Promise<void> {
  const { health, looksAt, due } = after
  const isNews = due !== undefined && (looksAt === null || looksAt > due + LATE_MS)
  await tx`
    update webhooks set health = ${JSON.stringify(health)}, position = greatest(position, ${position ?? 0}::bigint), missed = missed + ${missed}::bigint,
      troubled_at = case when ${due !== undefined} then coalesce(troubled_at, now()) else troubled_at end,
      nudged_at = case when ${isNews} then now() else nudged_at end
    where number = ${number}`
}
