/** What came of an attempt: for the bundle, its notices and the breaker of its target, in one transaction under the lock of the target's row. */
import type { NoticeTried } from '../../api/notify/ports.ts'
import { allowedBy, type Breaker, breakerAfter, nextTryAt } from '../../twin-models/core/delivery.ts'
import type { TargetFailure } from '../../twin-models/webhook-events/platform-events.ts'
import { epochMs } from './columns.ts'
import type { Sql, Transaction } from './connect.ts'

/** Attempts that a bundle remembers, the newest. */
const REMEMBERED = 12

interface Settlement extends NoticeTried {
  isProbe: boolean
}

/** As it stands with the target. */
interface Health extends Breaker {
  /** That it fails for good was told, and no message has arrived since. */
  isTold?: true
}

interface Failure {
  reason: TargetFailure
  detail: string
}

/**
 * A target is never given up: what is told there may be urgent when it is back. That it fails for good is told once, by an event. One whose bundle has ended meanwhile, by somebody who took it for
 * dead, learns only how it fares.
 */
export async function settleBundle(
  sql: Sql,
  number: number,
  bundle: string,
  tried: Settlement,
  now: number,
  random = Math.random,
): Promise<void> {
  await sql.begin(async (tx) => {
    const [target] = await tx<Array<{ health: string }>>`select health from targets where number = ${number} for no key update`
    if (!target) return
    const { isTold = false, ...before } = JSON.parse(target.health) as Health
    const health = healthAfter(before, tried, random())
    const hasFailed = (await settleOpen(tx, bundle, tried, now, random())) === 'failed'
    const failure = failureOf(tried, hasFailed)
    if (failure && !isTold) await tellFailed(tx, number, failure)
    const told = (isTold || failure !== undefined) && tried.outcome.kind !== 'delivered'
    await tx`update targets set health = ${JSON.stringify({ ...health, ...(told && { isTold: true }) })} where number = ${number}`
    // It answers again: what waited for that need not wait for its own time.
    if (allowedBy(health, now) === 'everything' && allowedBy(before, now) !== 'everything')
      await tx`
        update notice_bundles set next_at = to_timestamp(${now}::float8 / 1000) where target = ${number} and state = 'open' and claimed_at is null`
  })
}

/** Undefined: it may work out yet, or has. */
function failureOf({ outcome, isFinal }: NoticeTried, hasFailed: boolean): Failure | undefined {
  if (outcome.kind === 'delivered') return undefined
  const { reason: detail } = outcome
  if (outcome.kind === 'gone') return { reason: 'gone', detail }
  return hasFailed ? { reason: isFinal ? 'refused' : 'failing', detail } : undefined
}

/** Of its URL the event has the host only, as with webhooks (webhook-disabled.ts). */
async function tellFailed(tx: Transaction, number: number, { reason, detail }: Failure): Promise<void> {
  await tx`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select now(), tenant, 0, '', 'target-failed', json_strip_nulls(json_build_object('at', ${tx.unsafe(epochMs('now()'))}, 'target', name, 'targetKind', kind,
      'host', substring(settings::json ->> 'url' from '^[a-z]+://([^/?]+)'), 'reason', ${reason}::text, 'detail', ${detail}::text))::text, '{"by":"delivery"}'
    from targets where number = ${number}`
}

/** A message that is refused for what it is says nothing of who refuses it. */
function healthAfter(before: Breaker, { startedAt, attempt, outcome, isProbe, isFinal }: Settlement, random: number): Breaker {
  return isFinal ? before : breakerAfter(before, outcome, { isProbe, now: startedAt + attempt.ms, random }).breaker
}

/** What has become of it. Undefined: it had ended before. */
async function settleOpen(
  tx: Transaction,
  id: string,
  tried: Settlement,
  now: number,
  random: number,
): Promise<'open' | 'sent' | 'failed' | undefined> {
  const { startedAt, attempt, outcome, isProbe, isFinal } = tried
  const [open] = await tx<Array<{ attempts: number; log: string }>>`
    select attempts, log from notice_bundles where id = ${id} and state = 'open' for update`
  if (!open) return undefined
  // A probe is no try of what it carries.
  const attempts = open.attempts + (isProbe && open.attempts > 0 ? 0 : 1)
  const log = JSON.stringify([...JSON.parse(open.log), { at: startedAt, ...attempt }].slice(-REMEMBERED))
  const next = outcome.kind === 'delivered' || isFinal ? undefined : nextTryAt(attempts, outcome, now, random)
  const state = outcome.kind === 'delivered' ? 'sent' : next === undefined ? 'failed' : 'open'
  await tx`
    update notice_bundles set state = ${state}, attempts = ${attempts}, log = ${log}, claimed_at = null,
      next_at = to_timestamp(${next ?? null}::float8 / 1000), ended_at = case when ${state !== 'open'} then now() end
    where id = ${id}`
  if (state === 'open') return state
  await tx`
    update notices set state = ${state}, reason = ${'reason' in outcome ? outcome.reason : null}, ended_at = now()
    where id in (select id from notices where bundle = ${id} and state = 'waiting' order by id for update)`
  return state
}
