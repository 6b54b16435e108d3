/**
 * The director keys: the platform's own, which sign the job of each device (twin-models/firmware/job.ts). The first is made once; the newest
 * signs, and devices may trust older ones too.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { DirectorKey } from '../../api/firmware-ports.ts'
import { keyIdOf } from '../../twin-models/firmware/envelope.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

/** What signs jobs. Makes the first key when there is none; processes that start at the same time make one. */
export async function directorPrivateKey(sql: Sql): Promise<KeyObject> {
  return createPrivateKey((await newestKey(sql)) ?? (await sql.begin(makeFirst)))
}

async function makeFirst(tx: Queries): Promise<string> {
  await tx`lock table director_keys in share row exclusive mode`
  const before = await newestKey(tx)
  if (before !== undefined) return before
  const { privateKey } = generateKeyPairSync('ed25519')
  const publicKey = createPublicKey(privateKey)
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  await tx`
    insert into director_keys (id, public_key, private_key)
    values (${keyIdOf(publicKey)}, ${publicKey.export({ type: 'spki', format: 'pem' }).toString()}, ${pem})`
  return pem
}

async function newestKey(sql: Queries): Promise<string | undefined> {
  const [row] = await sql<Array<{ key: string }>>`select private_key as key from director_keys order by created_at desc, id limit 1`
  return row?.key
}

/** Newest first, and at least one. The private parts stay where they are. */
export async function listDirectorKeys(sql: Sql): Promise<DirectorKey[]> {
  const keys = await readKeys(sql)
  if (keys.length > 0) return keys
  await sql.begin(makeFirst)
  return readKeys(sql)
}

async function readKeys(sql: Queries): Promise<DirectorKey[]> {
  return sql<DirectorKey[]>`
    select id, public_key as "publicKey", ${sql.unsafe(epochMs('created_at'))} as "createdAt" from director_keys order by created_at desc, id`
}
