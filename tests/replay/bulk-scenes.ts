/** Bulk changes as operators and REST steer them. Their twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import type { Sql } from '../../infra/postgres/connect.ts'
import { BULK_ASKED_SIGNAL, type BulkAsked } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import type { Scenes, Stage } from './recordings.ts'

interface Asked {
  id: string
  incarnation: number
  answered: boolean
}

/** A bulk change for new devices of a site of its own. */
async function bulkOn({ sql, bulk }: Stage, devices: number, more: object) {
  const site = `site-${randomUUID()}`
  for (let n = 0; n < devices; n++) {
    const device = `d-${randomUUID()}`
    await sql`
      insert into devices (tenant, device, model, model_version, attributes, token_hash)
      values ('demo', ${device}, 'thermostat', '1.0.0', ${JSON.stringify({ site })}::text::jsonb, sha256(${device}::text::bytea))`
  }
  const handle = await bulk.start({ tenant: 'demo', filter: `attributes.site = '${site}'`, wish: { targetTemperature: 21 }, ...more })
  const asked = () => sql<Asked[]>`
    select r.id, r.incarnation, r.answered_at is not null as answered from twin_requests r join devices d using (incarnation)
    where d.attributes ->> 'site' = ${site} order by r.created_at`
  /** Waits until so many were asked in all, and decides for those that have not decided yet. */
  const decide = async (count: number, status: 'converged' | 'diverged') => {
    const all = await until(async () => {
      const rows = await asked()
      return rows.length >= count ? rows : undefined
    }, `${count} devices are asked`)
    for (const { id, incarnation, answered } of all) if (!answered) await decideOne(sql, id, incarnation, status)
  }
  const becomes = (status: string) =>
    until(async () => (await sql`select from bulk_changes where filter like ${`%${site}%`} and status = ${status}`).length > 0, status)
  return { handle, decide, becomes }
}

async function decideOne(sql: Sql, id: string, incarnation: number, status: 'converged' | 'diverged'): Promise<void> {
  const leaf = { version: 1, by: 'bulk', status, ...(status === 'diverged' && { reason: 'refused' }) }
  const desired = { version: 1, state: { targetTemperature: 21 }, metadata: { '/targetTemperature': leaf } }
  const decided = JSON.stringify({ presence: { status: 'online' }, desired })
  await sql`update devices set decided = ${decided}::text::jsonb where incarnation = ${incarnation}`
  await sql`update twin_requests set answered_at = now(), answer = '{"revision": 1, "seq": 1, "version": 1}' where id = ${id}`
}

export const bulkScenes: Scenes = {
  'a bulk change completes': async (stage) => {
    const { handle, decide } = await bulkOn(stage, 3, { perSecond: 500 })
    await decide(3, 'converged')
    await handle.result()
    return handle
  },
  'a bulk change is halted and resumed': async (stage) => {
    const errorLimit = { share: 0.5, minimum: 2 }
    const { handle, decide, becomes } = await bulkOn(stage, 4, { perSecond: 500, atOnce: 2, errorLimit })
    await decide(2, 'diverged')
    await becomes('halted')
    await handle.executeUpdate('resume')
    await decide(4, 'converged')
    await handle.result()
    return handle
  },
  'a bulk change is paused and cancelled': async (stage) => {
    const { handle, decide, becomes } = await bulkOn(stage, 5, { perSecond: 1 })
    await decide(1, 'converged')
    await handle.executeUpdate('pause')
    await becomes('paused')
    const asked: BulkAsked = { wanted: 'cancel' }
    await handle.signal(BULK_ASKED_SIGNAL, asked)
    await handle.result()
    return handle
  },
}
