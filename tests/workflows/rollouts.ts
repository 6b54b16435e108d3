/** A worker for rollouts, Postgres behind it, and fleets whose twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { createRolloutActivities } from '../../activities/rollout-activities.ts'
import type { RolloutStore } from '../../activities/rollout-ports.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { createRolloutStore } from '../../infra/postgres/rollouts.ts'
import type { UpdateEnd, UpdateRequest } from '../../twin-models/core/types.ts'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import type { rollout } from '../../workflows/index.ts'
import { ROLLOUT_WORKFLOW } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import { type FleetOptions, fleet, sha256Of } from './fleet.ts'
import { type OperationsOptions, startWorkerOf, type WorkerOf } from './operations-worker.ts'

export type RolloutWorker = WorkerOf<RolloutStore, typeof rollout>

export function startRolloutWorker({
  sql,
  ...options
}: { sql: Sql } & Pick<OperationsOptions, 'address' | 'namespace' | 'taskQueue'>): Promise<RolloutWorker> {
  return startWorkerOf(ROLLOUT_WORKFLOW, createRolloutStore(sql, sql), {
    ...{ ...options, maxCachedWorkflows: 50 },
    activities: (rollouts) => createRolloutActivities({ rollouts, log: pino({ level: 'silent' }) }),
  })
}

/** A signed artifact, as far as rollouts look at it. Returns its id. */
export async function artifact(sql: Sql, name: string, version: string, counter: number, more: Partial<Manifest> = {}): Promise<string> {
  const id = randomUUID()
  const manifest: Manifest = {
    ...{ type: 'firmware', name, model: 'thermostat', version, counter, hardware: [], size: 1, sha256: sha256Of(version) },
    ...{ prerequisites: {}, rollbackTo: [], issued: '2026-11-01T00:00:00Z', ...more },
  }
  await sql`
    insert into release_keys (tenant, id, name, public_key) values ('demo', ${'0'.repeat(32)}, 'test', 'pem') on conflict do nothing`
  await sql`
    insert into firmware (id, tenant, name, model, version, counter, size, sha256, manifest, envelope, key, notes, created_by)
    values (${id}, 'demo', ${name}, ${manifest.model}, ${version}, ${counter}, 1, ${manifest.sha256}, ${JSON.stringify(manifest)}, '{}',
      ${'0'.repeat(32)}, '', 'test')`
  return id
}

export interface AskedUpdate {
  id: string
  incarnation: number
  device: string
  ended: boolean
  request: UpdateRequest
}

/** Twins played by SQL. */
export function twinsOf(sql: Sql, site: string) {
  /** Updates that were asked of its devices, in the order in which they were. */
  async function asked(): Promise<AskedUpdate[]> {
    const rows = await sql<Array<Omit<AskedUpdate, 'request'> & { body: string }>>`
      select u.id, u.incarnation, u.device, u.ended_at is not null as ended, r.body from updates u join twin_requests r on r.id = u.id
      join devices d on d.incarnation = u.incarnation where r.kind = 'update' and d.attributes ->> 'site' = ${site} order by u.number`
    return rows.map(({ body, ...row }) => ({ ...row, request: JSON.parse(body) }))
  }

  /** Of those whose updates are open, the first so many end like this. A healthy one runs the firmware then. */
  async function end(status: UpdateEnd, { code, most = Number.MAX_SAFE_INTEGER }: { code?: string; most?: number } = {}): Promise<number> {
    const open = (await asked()).filter(({ ended }) => !ended).slice(0, most)
    for (const update of open) await endOne(update, status, code)
    return open.length
  }

  async function endOne({ id, incarnation, request }: AskedUpdate, status: UpdateEnd, code?: string): Promise<void> {
    if (status === 'healthy')
      await sql`
        update devices set decided = decided || ${JSON.stringify({ firmware: request.firmware })}::text::jsonb where incarnation = ${incarnation}`
    await sql`update updates set status = ${status}, code = ${code ?? null}, ended_at = now() where id = ${id} and ended_at is null`
  }

  /** The bridge tells the devices of what is open; the first so many. */
  async function tell(most = Number.MAX_SAFE_INTEGER): Promise<void> {
    const ids = (await asked()).filter(({ ended }) => !ended).slice(0, most)
    await sql`update updates set told_at = now() where id = any(${ids.map(({ id }) => id)}::uuid[])`
  }

  /** Twins that were asked to cancel do. */
  async function obeyCancels(): Promise<void> {
    await sql`
      update updates u set status = 'cancelled', code = 'cancelled', ended_at = now()
      from twin_requests r join devices d on d.incarnation = r.incarnation
      where r.kind = 'cancel-update' and (r.body::json ->> 'id')::uuid = u.id and u.ended_at is null and d.attributes ->> 'site' = ${site}`
  }

  return { asked, tell, end, endOne, obeyCancels }
}

export interface Options {
  /** Of the new artifact's manifest. */
  manifest?: Partial<Manifest>
  fleet?: FleetOptions
}

/** Versions 1.0.0 and 2.0.0 of a firmware of its own, a site whose devices run the first, and a rollout of the second to them, started in the UI. */
export async function begun(
  sql: Sql,
  worker: RolloutWorker,
  devices: number,
  spec: object = {},
  { manifest = {}, ...options }: Options = {},
) {
  const firmware = `fw-${randomUUID().slice(0, 8)}`
  await artifact(sql, firmware, '1.0.0', 1)
  const artifactId = await artifact(sql, firmware, '2.0.0', 2, { rollbackTo: ['1.0.0'], ...manifest })
  const site = await fleet(sql, devices, options.fleet)
  const name = `to 2.0.0 at ${site}`
  const request = {
    ...{ name, firmware: { name: firmware, version: '2.0.0' }, filter: `attributes.site = '${site}'` },
    ...{ soak: '0s', approval: 'none', perSecond: 500, waves: [{ percent: 100 }] },
  }
  const handle = await worker.start({ tenant: 'demo', ...request, ...spec })
  const twins = twinsOf(sql, site)
  const open = async () => (await twins.asked()).filter(({ ended }) => !ended)
  return {
    ...{ handle, name, site, firmware, artifactId, twins, open },
    state: () => stored(sql, name),
    targets: (back?: boolean) => targets(sql, name, back),
    /** Waits until so many updates are open. */
    opens: (count: number) =>
      until(async () => {
        const updates = await open()
        return updates.length === count ? updates : undefined
      }, `${count} updates are open`),
    becomes: (status: string) => until(async () => (await stored(sql, name)).status === status, `it is ${status}`),
    steer: (action: string, argument?: object) =>
      argument ? handle.executeUpdate<string, [object]>(action, { args: [argument] }) : handle.executeUpdate<string, []>(action),
  }
}

export interface StoredRollout {
  id: string
  status: string
  reason: string | null
  wave: number
  back: boolean
  approvedBy: string | null
  endedAt: Date | null
  workflow: string | null
}

export async function stored(sql: Sql, name: string): Promise<StoredRollout> {
  const [row] = await sql<StoredRollout[]>`
    select id, status, reason, wave, back, approved_by as "approvedBy", ended_at as "endedAt", workflow from rollouts where name = ${name}`
  return row!
}

/** How its targets stand: `{status: number}`, those with a reason as `status reason`. */
export async function targets(sql: Sql, name: string, back = false): Promise<Record<string, number>> {
  const rows = await sql<Array<{ how: string; count: number }>>`
    select concat_ws(' ', t.status, t.reason) as how, count(*)::int as count from rollout_targets t join rollouts r on r.id = t.rollout
    where r.name = ${name} and t.back = ${back} group by 1 order by 1`
  return Object.fromEntries(rows.map(({ how, count }) => [how, count]))
}

/** Kinds of the events that it told, in order, with what they say. */
export async function eventsOf(sql: Sql, id: string): Promise<Array<{ kind: string; event: Record<string, unknown> }>> {
  const rows = await sql<Array<{ kind: string; event: string }>>`
    select kind, event from outbox where kind like 'rollout-%' and event::json ->> 'rollout' = ${id} order by id`
  return rows.map(({ kind, event }) => ({ kind, event: JSON.parse(event) }))
}
