/** What came of an attempt: for the bundle, its notices and the breaker of its target, in one transaction under the lock of the target's row. */
import type { NoticeTried } from '../../api/notify/ports.ts'
import { allowedBy, type Breaker, breakerAfter, nextTryAt } from '../../twin-models/core/delivery.ts'
import type { Sql, Transaction } from './connect.ts'

/** Attempts that a bundle remembers, the newest. */
const REMEMBERED = 12

interface Settlement extends NoticeTried {
  isProbe: boolean
}

/**
 * A target is never given up: what is told there may be urgent when it is back. One whose bundle has ended meanwhile, by somebody who took it for
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
    const before = JSON.parse(target.health) as Breaker
    const health = healthAfter(before, tried, random())
    await tx`update targets set health = ${JSON.stringify(health)} where number = ${number}`
    await settleOpen(tx, bundle, tried, now, random())
    // It answers again: what waited for that need not wait for its own time.
    if (allowedBy(health, now) === 'everything' && allowedBy(before, now) !== 'everything')
      await tx`
        update notice_bundles set next_at = to_timestamp(${now}::float8 / 1000) where target = ${number} and state = 'open' and claimed_at is null`
  })
}

/** A message that is refused for what it is says nothing of who refuses it. */
function healthAfter(before: Breaker, { startedAt, attempt, outcome, isProbe, isFinal }: Settlement, random: number): Breaker {
  return isFinal ? before : breakerAfter(before, outcome, { isProbe, now: startedAt + attempt.ms, random }).breaker
}

async function settleOpen(tx: Transaction, id: string, tried: Settlement, now: number, random: number): Promise<void> {
  const { startedAt, attempt, outcome, isProbe, isFinal } = tried
  const [open] = await tx<Array<{ attempts: number; log: string }>>`
    select attempts, log from notice_bundles where id = ${id} and state = 'open' for update`
  if (!open) return
  // A probe is no try of what it carries.
  const attempts = open.attempts + (isProbe && open.attempts > 0 ? 0 : 1)
  const log = JSON.stringify([...JSON.parse(open.log), { at: startedAt, ...attempt }].slice(-REMEMBERED))
  const next = outcome.kind === 'delivered' || isFinal ? undefined : nextTryAt(attempts, outcome, now, random)
  const state = outcome.kind === 'delivered' ? 'sent' : next === undefined ? 'failed' : 'open'
  await tx`
    update notice_bundles set state = ${state}, attempts = ${attempts}, log = ${log}, claimed_at = null,
      next_at = to_timestamp(${next ?? null}::float8 / 1000), ended_at = case when ${state !== 'open'} then now() end
    where id = ${id}`
  if (state === 'open') return
  await tx`
    update notices set state = ${state}, reason = ${'reason' in outcome ? outcome.reason : null}, ended_at = now()
    where id in (select id from notices where bundle = ${id} and state = 'waiting' order by id for update)`
}
