/** Rows of firmware and its updates, as those who write them leave them, for tests of what comes after. */
import { randomUUID } from 'node:crypto'
import type { Sql } from '../../infra/postgres/connect.ts'
import { jobFor } from '../../twin-models/firmware/job.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import { signJob } from './director.ts'

export interface TestFirmware {
  id: string
  version: string
  sha256: string
  envelope: object
}

/** An artifact that is signed, so far as the database can say. */
export async function firmware(sql: Sql, { tenant = 'demo', version = randomUUID() as string } = {}): Promise<TestFirmware> {
  const id = randomUUID()
  const sha256 = id.replaceAll('-', '').repeat(2)
  const key = 'f'.repeat(32)
  const payload = Buffer.from(JSON.stringify({ type: 'firmware', version, sha256 })).toString('base64')
  const envelope = { payloadType: 'test', payload, signatures: [{ keyid: key, sig: 'AAAA' }] }
  await sql`insert into release_keys (tenant, id, name, public_key) values (${tenant}, ${key}, 'test', '') on conflict do nothing`
  await sql`
    insert into firmware (id, tenant, name, model, version, counter, size, sha256, manifest, envelope, key, notes, created_by)
    values (${id}, ${tenant}, 'test', 'thermostat', ${version}, 1, 1, ${sha256}, '{}', ${JSON.stringify(envelope)}, ${key}, '', 'test')`
  return { id, version, sha256, envelope }
}

/** As REST writes it. */
export async function scheduledUpdate(sql: Sql, { tenant, device, incarnation }: TwinKey, of: TestFirmware): Promise<{ id: string }> {
  const id = randomUUID()
  await sql`
    insert into updates (id, tenant, incarnation, device, firmware, kind, requested_by)
    values (${id}, ${tenant}, ${incarnation}, ${device}, ${of.id}, 'install', 'test')`
  return { id }
}

/** And as the decision that lets it go leaves it. */
export async function releasedUpdate(
  sql: Sql,
  device: TwinKey,
  { of, untilMs = 60_000 }: { of?: TestFirmware; untilMs?: number } = {},
): Promise<{ id: string; of: TestFirmware; job: object; link: string }> {
  const what = of ?? (await firmware(sql, device))
  const { id } = await scheduledUpdate(sql, device, what)
  const { job, link } = await releaseUpdate(sql, device, { id, of: what, attempt: 1, untilMs })
  return { id, of: what, job, link }
}

export async function releaseUpdate(
  sql: Sql,
  device: TwinKey,
  { id, of, attempt, untilMs = 60_000 }: { id: string; of: TestFirmware; attempt: number; untilMs?: number },
): Promise<{ job: object; link: string }> {
  const until = Date.now() + untilMs
  const release = { id, attempt, kind: 'install' as const, firmware: { version: of.version, sha256: of.sha256 }, until, linkUntil: until }
  const job = signJob(jobFor(device, release, randomUUID(), Date.now()))
  const link = randomUUID()
  await sql`
    update updates set attempt = ${attempt}, job = ${JSON.stringify(job)}, link = ${link}, told_at = null, sent_at = null, sends = 0, answered_at = null,
      until = now() + make_interval(secs => ${untilMs / 1000}::float8), link_until = now() + interval '1 hour', status = 'scheduled'
    where id = ${id}`
  return { job, link }
}

/** As the decision that ends it leaves it: the device hears of it if it had heard of the update. */
export async function cancelUpdate(sql: Sql, id: string): Promise<void> {
  await sql`
    update updates set status = 'cancelled', ended_at = now(), job = null, link = null, cancel_at = case when sent_at is not null then now() end
    where id = ${id}`
}

export async function updateRow(sql: Sql, id: string): Promise<{ status: string; sends: number; told: boolean }> {
  const [row] = await sql<[{ status: string; sends: number; told: boolean }]>`
    select status, sends, cancel_sent_at is not null as told from updates where id = ${id}`
  return row
}
