/** Targets as REST makes, shows and changes them. */
import { MOST_TARGETS, type NewTarget, type Target, type Targets } from '../../api/notify-ports.ts'
import type { Page } from '../../api/ports.ts'
import type { WebhookSecret } from '../../api/webhook-ports.ts'
import { CLOSED } from '../../twin-models/core/delivery.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { rulesThatTell } from './rule-mentions.ts'

/** Notices that are counted. */
const COUNTED = 10_000
/** More are not valid at once: then the oldest ends early. */
const MOST_SECRETS = 5
/** Rows changed at once. */
const STEP = 20_000

export function createTargets(sql: Sql): Targets {
  return {
    put: (tenant, target) => putTarget(sql, tenant, target),
    find: (tenant, name) => findTarget(sql, tenant, name),
    list: (tenant, page) => listTargets(sql, tenant, page),
    remove: (tenant, name) => removeTarget(sql, tenant, name),
    rotate: (tenant, name, secret, oldUntil) => rotateSecret(sql, tenant, name, secret, oldUntil),
  }
}

/** What its quiet hours held is looked at anew, and what failed is tried at once: what was wrong may be right now. */
async function putTarget(sql: Sql, tenant: string, { name, settings, auth, secret }: NewTarget): ReturnType<Targets['put']> {
  return sql.begin(async (tx) => {
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const before = await lockedTarget(tx, tenant, name)
    const [{ count }] = await tx<[{ count: number }]>`select count(*)::int as count from targets where tenant = ${tenant}`
    if (!before && count >= MOST_TARGETS) return 'too-many'
    const isSecretNew = settings.kind === 'webhook' && (before?.secrets.length ?? 0) === 0
    const secrets: WebhookSecret[] = settings.kind !== 'webhook' ? [] : isSecretNew ? [{ secret }] : before!.secrets
    await tx`
      insert into targets (tenant, name, kind, settings, auth, secrets)
      values (${tenant}, ${name}, ${settings.kind}, ${JSON.stringify(settings)}, ${auth && JSON.stringify(auth)}, ${JSON.stringify(secrets)})
      on conflict (tenant, name) do update set kind = excluded.kind, settings = excluded.settings, auth = excluded.auth, secrets = excluded.secrets,
        health = ${JSON.stringify(CLOSED)}, changed_at = now()`
    if (before) {
      await tx`update notices set ready_at = due_at where endpoint = ${before.number} and state = 'held' and reason = 'quiet'`
      await tx`update notice_bundles set next_at = now() where target = ${before.number} and state = 'open' and claimed_at is null`
    }
    return { target: (await findTarget(tx, tenant, name))!, isNew: !before, secret: isSecretNew ? secret : undefined }
  })
}

async function findTarget(sql: Queries, tenant: string, name: string): Promise<Target | undefined> {
  const [row] = await sql<StoredTarget[]>`select ${sql.unsafe(COLUMNS)} from targets t where tenant = ${tenant} and name = ${name}`
  return row && parsedTarget(row)
}

async function listTargets(sql: Queries, tenant: string, { after, limit }: Page<string>): Promise<Target[]> {
  const rows = await sql<StoredTarget[]>`
    select ${sql.unsafe(COLUMNS)} from targets t where tenant = ${tenant} and name > ${after ?? ''} order by name limit ${limit}`
  return rows.map(parsedTarget)
}

/** First the target, then what waits for it, in steps: nothing is added any more. */
async function removeTarget(sql: Sql, tenant: string, name: string): Promise<boolean | string[]> {
  const removed = await sql.begin(async (tx) => {
    const target = await lockedTarget(tx, tenant, name)
    if (!target) return false
    const told = await rulesThatTell(tx, tenant, name)
    if (told.length > 0) return told
    await tx`delete from targets where number = ${target.number}`
    return target.number
  })
  if (typeof removed !== 'number') return removed
  for (let count = STEP; count === STEP; ) {
    count = (
      await sql`
        update notices set state = 'failed', reason = 'Its target was removed', ready_at = null, held_at = null, ended_at = now()
        where id in (
          select id from notices where tenant = ${tenant} and endpoint = ${removed} and ended_at is null order by id limit ${STEP} for update)`
    ).count
  }
  return true
}

async function rotateSecret(sql: Sql, tenant: string, name: string, secret: string, oldUntil: number): Promise<Target | undefined> {
  return sql.begin(async (tx) => {
    const target = await lockedTarget(tx, tenant, name)
    const [current, ...older] = target?.secrets ?? []
    if (!target || !current) return undefined
    const valid = older.filter(({ until }) => until! > Date.now())
    const secrets: WebhookSecret[] = [{ secret }, { secret: current.secret, until: oldUntil }, ...valid].slice(0, MOST_SECRETS)
    await tx`update targets set secrets = ${JSON.stringify(secrets)}, changed_at = now() where number = ${target.number}`
    return findTarget(tx, tenant, name)
  })
}

async function lockedTarget(tx: Transaction, tenant: string, name: string): Promise<Target | undefined> {
  const [row] = await tx`select number from targets where tenant = ${tenant} and name = ${name} for update`
  return row && findTarget(tx, tenant, name)
}

const COLUMNS = `number, tenant, name, settings, auth, secrets, health, ${epochMs('created_at')} as "createdAt", ${epochMs('changed_at')} as "updatedAt",
  (select count(*)::int from (select from notices n where n.tenant = t.tenant and n.endpoint = t.number and n.ended_at is null limit ${COUNTED}) as open) as open`

interface StoredTarget
  extends Omit<Target, 'settings' | 'auth' | 'secrets' | 'health' | 'open'>,
    Record<'settings' | 'secrets' | 'health', string> {
  auth: string | null
  open: number
}

function parsedTarget({ settings, auth, secrets, health, open, ...row }: StoredTarget): Target {
  return {
    ...{ ...row, settings: JSON.parse(settings), auth: auth === null ? null : JSON.parse(auth), secrets: JSON.parse(secrets) },
    ...{ health: JSON.parse(health), open: { count: open, more: open === COUNTED } },
  }
}
