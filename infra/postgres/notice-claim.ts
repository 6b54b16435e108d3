/**
 * What a target is to be told next. All of it is decided under the lock of the target's row, and written before anything is sent: a bundle keeps its
 * id and its notices, so that whoever goes on after a crash sends the same again.
 */
import { randomUUID } from 'node:crypto'
import type { Bundle, Claimed, NoticeTarget } from '../../api/notify/ports.ts'
import {
  type Candidate,
  composed,
  countedRequests,
  keysOf,
  type NextBundle,
  nextBundle,
  quietUntil,
  turnAt,
  type WaitingGroup,
} from '../../twin-models/core/bundles.ts'
import { allowedBy, type Breaker, halfOpensNext } from '../../twin-models/core/delivery.ts'
import { RANK } from '../../twin-models/core/notices.ts'
import { windowsByZone } from '../../twin-models/windows.ts'
import { epochMs } from './columns.ts'
import type { Sql, Transaction } from './connect.ts'
import { bundleOf, RANKED, type StoredTarget, TARGET_COLUMNS, targetOf } from './notice-rows.ts'

/** An attempt takes less: one that is not over by then is not under way any more. */
const CLAIM_MS = 30_000
/** The next bundle of a group waits for the one before it until that was tried so often. */
const WAITED_FOR = 3
/** Looked at for one bundle; what is beyond waits for the next. */
const MOST = { groups: 20_000, notices: 20_000 }
const DAY_MS = 86_400_000

type Locked = StoredTarget & { health: string; recent: string }
interface OpenBundle {
  id: string
  groupKey: string
  madeAt: number
  nextAt: number
  isDue: boolean
}

/** Undefined: nothing waits, or there is no such target. */
export async function claimBundle(sql: Sql, number: number, now: number): Promise<Claimed | { lookAt: number } | undefined> {
  return sql.begin(async (tx) => {
    const [row] = await tx<
      Locked[]
    >`select ${tx.unsafe(TARGET_COLUMNS)}, health, recent from targets where number = ${number} for no key update`
    if (!row) return undefined
    const target = targetOf(row, now)
    const health = JSON.parse(row.health) as Breaker
    const recent = countedRequests(JSON.parse(row.recent), now)
    const allowed = allowedBy(health, now)
    const mayAt = allowed === 'nothing' ? health.probeAt! : turnAt(recent, target.settings.perMinute, now)
    if (mayAt > now) return { lookAt: mayAt }
    const isProbe = allowed === 'a probe'
    const found = await next(tx, target, now, isProbe ? halfOpensNext(health) : undefined)
    if (found === undefined || 'lookAt' in found) return found
    await tx`update notice_bundles set next_at = to_timestamp(${now + CLAIM_MS}::float8 / 1000), claimed_at = now() where id = ${found.id}`
    await tx`update targets set recent = ${JSON.stringify([...recent, now])} where number = ${number}`
    return { bundle: found, target, isProbe }
  })
}

/** `newFirst`: it is a probe, of a bundle that is open whatever its time, or by turns of a new one. */
async function next(
  tx: Transaction,
  target: NoticeTarget,
  now: number,
  newFirst?: boolean,
): Promise<Bundle | { lookAt: number } | undefined> {
  const made = newFirst ? await newBundle(tx, target, now) : undefined
  if (made && !('lookAt' in made)) return made
  const open = await openBundle(tx, target, now, newFirst !== undefined)
  if (open && !('lookAt' in open)) return open
  const fresh = made ?? (await newBundle(tx, target, now))
  if (!fresh || !('lookAt' in fresh)) return fresh ?? open
  return { lookAt: Math.min(fresh.lookAt, open?.lookAt ?? Infinity) }
}

/** One that is to be tried again, if its time has come. Those of which nothing is left to be told end here. */
async function openBundle(
  tx: Transaction,
  { number }: NoticeTarget,
  now: number,
  isProbe: boolean,
): Promise<Bundle | { lookAt: number } | undefined> {
  for (;;) {
    const [open] = await tx<OpenBundle[]>`
      select id, group_key as "groupKey", ${tx.unsafe(epochMs('made_at'))} as "madeAt", ${tx.unsafe(epochMs('next_at'))} as "nextAt",
        next_at <= to_timestamp(${now}::float8 / 1000) or (${isProbe} and claimed_at is null) as "isDue"
      from notice_bundles where target = ${number} and state = 'open' order by 5 desc, next_at limit 1`
    if (!open) return undefined
    if (!open.isDue) return { lookAt: open.nextAt }
    const bundle = await bundleOf(tx, open)
    if (bundle) return bundle
    await tx`update notice_bundles set state = 'cancelled', next_at = null, claimed_at = null, ended_at = now() where id = ${open.id}`
  }
}

async function newBundle(tx: Transaction, target: NoticeTarget, now: number): Promise<Bundle | { lookAt: number } | undefined> {
  const { number, settings } = target
  await holdInQuietHours(tx, target, now)
  const groups = await tx<WaitingGroup[]>`
    select group_key as key, min(rule) as rule, ${tx.unsafe(epochMs('min(ready_at)'))} as "firstAt" from notices
    where endpoint = ${number} and ready_at <= to_timestamp(${now}::float8 / 1000) and group_key not in (
      select group_key from notice_bundles where target = ${number} and state = 'open' and attempts < ${WAITED_FOR})
    group by group_key order by min(ready_at) limit ${MOST.groups}`
  const lasts = await lastBundles(tx, number, keysOf(groups))
  const chosen = nextBundle(groups, settings, (key) => lasts.get(key), now)
  if (chosen === undefined || 'lookAt' in chosen) return chosen
  return bundled(tx, number, chosen, now)
}

/** In quiet hours what is due, and not urgent enough, waits for their end. */
async function holdInQuietHours(tx: Transaction, { number, settings: { quietHours } }: NoticeTarget, now: number): Promise<void> {
  if (!quietHours) return
  const until = quietUntil(windowsByZone(quietHours, now, now + 8 * DAY_MS)(undefined), now)
  if (until === undefined) return
  await tx`
    update notices set state = 'held', reason = 'quiet', ready_at = to_timestamp(${until}::float8 / 1000)
    where id in (
      select id from notices where endpoint = ${number} and ready_at <= to_timestamp(${now}::float8 / 1000)
        and ${tx.unsafe(RANKED)} <= ${RANK[quietHours.atLeast]} order by id for update)`
}

async function lastBundles(tx: Transaction, number: number, keys: string[]): Promise<Map<string, number>> {
  const rows = await tx<Array<{ key: string; lastAt: number }>>`
    select key, ${tx.unsafe(epochMs('last_at'))} as "lastAt" from notice_groups
    where target = ${number} and key in (select value from json_array_elements_text(${JSON.stringify(keys)}::text::json))`
  return new Map(rows.map(({ key, lastAt }) => [key, lastAt]))
}

async function bundled(tx: Transaction, number: number, { keys, as }: NextBundle, now: number): Promise<Bundle | undefined> {
  const candidates = await tx<Candidate[]>`
    select id, key, status, severity, owed from notices
    where endpoint = ${number} and ready_at <= to_timestamp(${now}::float8 / 1000)
      and group_key in (select value from json_array_elements_text(${JSON.stringify(keys)}::text::json))
    order by id limit ${MOST.notices} for update`
  const { shown, counted } = composed(candidates)
  if (shown.length === 0) return undefined
  const id = randomUUID()
  await tx`
    insert into notice_bundles (id, target, group_key, made_at, next_at)
    values (${id}, ${number}, ${as}, to_timestamp(${now}::float8 / 1000), to_timestamp(${now}::float8 / 1000))`
  const rows = [...shown.map((one) => ({ id: one, shown: true })), ...counted.map((one) => ({ id: one, shown: false }))]
  await tx`
    update notices n set bundle = ${id}, shown = r.shown, group_key = ${as}, state = 'waiting', reason = null, ready_at = null
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as r (id bigint, shown boolean) where n.id = r.id`
  await tx`
    insert into notice_groups (target, key, last_at) values (${number}, ${as}, to_timestamp(${now}::float8 / 1000))
    on conflict (target, key) do update set last_at = excluded.last_at`
  return bundleOf(tx, { id, groupKey: as, madeAt: now })
}
