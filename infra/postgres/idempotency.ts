/** Idempotency keys: what was answered to a request, for 24 hours. */
import type { IdempotencyClaim, StoredAnswer } from '../../api/ports.ts'
import type { Queries, Transaction } from './connect.ts'

/**
 * Takes the key, in the transaction in which what it stands for becomes true; false: it is taken. It waits for another transaction that
 * holds the same key: of two at once, one goes on.
 */
export async function claimKey(tx: Transaction, tenant: string, claim: IdempotencyClaim, response: string): Promise<boolean> {
  const claimed = await tx`
    insert into idempotency_keys (tenant, key_hash, request_hash, salt, response)
    values (${tenant}, ${claim.keyHash}, ${claim.requestHash}, ${claim.salt}, ${response})
    on conflict (tenant, key_hash) do update
      set request_hash = excluded.request_hash, salt = excluded.salt, response = excluded.response, created_at = now()
      where idempotency_keys.created_at < now() - interval '24 hours'`
  return claimed.count > 0
}

/** A refusal is not kept: the client may try the same key again when the reason is gone. Nobody else's claim is touched. */
export async function releaseKey(sql: Queries, tenant: string, keyHash: Uint8Array, response: string): Promise<void> {
  await sql`delete from idempotency_keys where tenant = ${tenant} and key_hash = ${keyHash} and response = ${response}`
}

export async function findStoredAnswer(sql: Queries, tenant: string, keyHash: Uint8Array): Promise<StoredAnswer | undefined> {
  const [row] = await sql<StoredAnswer[]>`
    select request_hash as "requestHash", salt, response from idempotency_keys
    where tenant = ${tenant} and key_hash = ${keyHash} and created_at >= now() - interval '24 hours'`
  return row
}

/** Housekeeping, in bounded steps. Returns how many went. */
export async function forgetOldAnswers(sql: Queries): Promise<number> {
  const gone = await sql`
    delete from idempotency_keys where (tenant, key_hash) in (
      select tenant, key_hash from idempotency_keys where created_at < now() - interval '24 hours' limit 5000)`
  return gone.count
}
