/**
 * What became of deliveries, in one transaction with what it means for their endpoint: its breaker, its position, whether its workflow has
 * something to do, whether it is disabled. Dispatcher and workflow both settle; the endpoint's row is locked meanwhile.
 */
import type { DeliveryStatus } from '../../api/webhook-ports.ts'
import type { Endpoint, Settled, Settlement } from '../../api/webhooks/ports.ts'
import { allowedBy, type Breaker, breakerAfter, nextTryAt } from '../../twin-models/core/delivery.ts'
import type { Sql, Transaction } from './connect.ts'
import { disableWebhook } from './webhook-disabled.ts'

/** Attempts that a delivery remembers, the newest. */
const REMEMBERED = 12
/** A look that comes so much too late is no matter. */
const LATE_MS = 1_000

interface Locked {
  status: Endpoint['status']
  ordered: boolean
  health: string
  looksAt: number | null
}

interface Known {
  position: number
  status: DeliveryStatus
  attempts: number
  log: string
}

interface DeliveryRow {
  position: number
  at: number
  incarnation: number
  device: string
  type: string
  status: DeliveryStatus
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
      select status, ordered, health, floor(extract(epoch from looks_at) * 1000)::float8 as "looksAt"
      from webhooks where number = ${number} for update`
    if (!endpoint) return undefined
    const { ordered, looksAt } = endpoint
    const before = JSON.parse(endpoint.health) as Breaker
    const { health, disabled } = healthAfter(before, settled, random)
    const known = settled.length > 0 ? await knownRows(tx, number, settled) : new Map()
    const rows = settled.flatMap((one) => rowOf(one, known.get(one.position), { ordered, now, random: random() }) ?? [])
    if (rows.length > 0) await writeRows(tx, number, rows)
    const isHealthy = allowedBy(health, now) === 'everything' && allowedBy(before, now) !== 'everything'
    // It answers again: what waited for that need not wait for its own time.
    if (isHealthy) await tx`update webhook_deliveries set next_at = now() where webhook = ${number} and status = 'retrying'`
    const isDisabled = disabled !== undefined && endpoint.status !== 'disabled'
    const due = isHealthy ? now : await dueOf(tx, number, rows, { ordered, health, now })
    await writeEndpoint(tx, settlement, { health, looksAt, due })
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
    const { startedAt, attempt, outcome, isProbe = false } = tried
    const after = breakerAfter(health, outcome, { isProbe, now: startedAt + attempt.ms, random: random() })
    health = after.breaker
    disabled ??= after.disabled
  }
  return { health, ...(disabled && { disabled }) }
}

async function knownRows(tx: Transaction, number: number, settled: Settled[]): Promise<Map<number, Known>> {
  const positions = settled.map(({ position }) => position)
  const rows = await tx<Known[]>`
    select position, status, attempts, log from webhook_deliveries
    where webhook = ${number} and position in (select unnest(${`{${positions.join(',')}}`}::text::bigint[]))`
  return new Map(rows.map((row) => [row.position, row]))
}

interface Circumstances {
  ordered: boolean
  now: number
  random: number
}

/**
 * Undefined: nothing changes. One may be settled twice, by a dispatcher that no longer leads, say: what has ended stays ended, and what was
 * attempted never waits behind another again.
 */
function rowOf({ tried, ...row }: Settled, known: Known | undefined, { ordered, now, random }: Circumstances): DeliveryRow | undefined {
  const { attempts = 0, log = '[]' } = known ?? {}
  if (!tried) {
    if (known) return undefined
    // No longer ordered meanwhile: then it waits for nobody.
    return { ...row, attempts, log, ...(ordered ? { status: 'behind', next: null } : { status: 'retrying', next: now }) }
  }
  const { startedAt, attempt, outcome, isProbe } = tried
  const logged = JSON.stringify([...JSON.parse(log), { at: startedAt, ...attempt }].slice(-REMEMBERED))
  // A probe is no try of the delivery that it carries.
  const tries = attempts + (isProbe && attempts > 0 ? 0 : 1)
  const ended = { ...row, attempts: tries, next: null, log: logged }
  if (outcome.kind === 'delivered') return { ...ended, status: 'delivered' }
  if (known && known.status !== 'retrying' && known.status !== 'behind') return { ...ended, status: known.status }
  const next = nextTryAt(tries, outcome, now, random)
  return next === undefined ? { ...ended, status: 'failed' } : { ...ended, status: 'retrying', next }
}

/** Those of an ended delivery that somebody sends again keep what they remember. */
async function writeRows(tx: Transaction, number: number, rows: DeliveryRow[]): Promise<void> {
  await tx`
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, attempts, next_at, ended_at, log)
    select ${number}, position, to_timestamp(at / 1000), incarnation, device, type, status, attempts, to_timestamp(next / 1000),
      case when status not in ('retrying', 'behind') then now() end, log
    from json_to_recordset(${JSON.stringify(rows)}::text::json)
      as r (position bigint, at float8, incarnation int, device text, type text, status text, attempts int, next float8, log text)
    on conflict (webhook, position) do update set status = excluded.status, attempts = excluded.attempts, next_at = excluded.next_at,
      ended_at = excluded.ended_at, log = excluded.log`
}

/** When its workflow has something to do; undefined: nothing that it does not know of. What waits behind another is due when that has ended. */
async function dueOf(
  tx: Transaction,
  number: number,
  rows: DeliveryRow[],
  { ordered, health, now }: { ordered: boolean; health: Breaker; now: number },
): Promise<number | undefined> {
  const open = rows.filter(({ status }) => status === 'retrying' || status === 'behind')
  if (open.length === 0) return undefined
  if (!ordered) return health.probeAt ?? Math.min(...open.map(({ next }) => next ?? now))
  const [first] = await tx<[{ due: number | null }]>`
    select min(coalesce(extract(epoch from d.next_at) * 1000, ${now}::float8))::float8 as due from webhook_deliveries d
    where d.webhook = ${number} and d.position in (select unnest(${`{${open.map(({ position }) => position).join(',')}}`}::text::bigint[]))
      and not exists (
        select from webhook_deliveries e where e.webhook = d.webhook and e.incarnation = d.incarnation and e.position < d.position
          and e.status in ('retrying', 'behind'))`
  return first.due === null ? undefined : (health.probeAt ?? first.due)
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
