/** Asks the next devices of a rollout: rows of `updates`, and the requests to their twins, under the ids that stand in its targets. */
import type { Rollout, RolloutFirmware } from '../../activities/rollout-ports.ts'
import type { UpdateRequest } from '../../twin-models/core/types.ts'
import { manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { windowsByZone } from '../../twin-models/windows.ts'
import type { Transaction } from './connect.ts'
import { pinsOf } from './groups.ts'
import { leftOut, leftOutBack, RUNS } from './rollout-left-out.ts'

interface Next {
  number: number
  update: string
  incarnation: number
  device: string
  firmware: string
  /** It was removed since. */
  gone: boolean
  /** Why it has no part in it any more. */
  reason: string | null
  zone: string | null
  version: string | null
  sha256: string | null
}

/** Those that have no part in it any more are left out instead, so fewer may be asked. */
export async function start(tx: Transaction, rollout: Rollout, isBack: boolean, wave: number, count: number, now: number): Promise<void> {
  const next = await nextOf(tx, rollout, isBack, wave, count)
  const out = next.filter(({ gone, reason }) => gone || reason !== null)
  const asked = next.filter(({ gone, reason }) => !gone && reason === null)
  if (out.length > 0) await leave(tx, rollout, isBack, out)
  if (asked.length > 0) await ask(tx, rollout, isBack, asked, now)
}

/** In the order of their numbers, of the waves up to this one. */
async function nextOf(tx: Transaction, { id, tenant, firmware }: Rollout, isBack: boolean, wave: number, count: number): Promise<Next[]> {
  const pins = await pinsOf(tx, tenant)
  const out = isBack ? leftOutBack(firmware, 't.to_version', pins, 5) : leftOut(firmware, pins, 5)
  return await tx.unsafe<Next[]>(
    `select t.number, t."update", t.incarnation, t.device, t.firmware, d.incarnation is null as gone, ${out.reason} as reason,
       d.attributes ->> 'timeZone' as zone, ${RUNS.version} as version, ${RUNS.sha256} as sha256
     from (
       select waiting.*, (select f.version from firmware f where f.id = waiting.firmware) as to_version
       from generate_series(0, $3::int) waves (wave) cross join lateral (
         select number, "update", incarnation, device, firmware from rollout_targets r
         where r.rollout = $1 and r.back = $2 and r.status = 'waiting' and r.wave = waves.wave and (not_before is null or not_before <= now())
         order by number limit $4::int) waiting
       order by number limit $4::int) t
     left join devices d on d.incarnation = t.incarnation left join twin_inbox i on i.incarnation = d.incarnation ${out.join}
     order by t.number`,
    [id, isBack, wave, count, ...out.parameters],
  )
}

async function leave(tx: Transaction, { id }: Rollout, isBack: boolean, out: Next[]): Promise<void> {
  const rows = out.map(({ number, gone, reason }) => ({ number, reason: gone ? 'device-removed' : reason }))
  await tx`
    update rollout_targets t set status = 'skipped', reason = new.reason, not_before = null, ended_at = now()
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as new (number int, reason text)
    where t.rollout = ${id} and t.back = ${isBack} and t.number = new.number`
}

async function ask(tx: Transaction, rollout: Rollout, isBack: boolean, asked: Next[], now: number): Promise<void> {
  const { id, tenant, by, firmware } = rollout
  const artifacts = isBack ? await artifactsOf(tx, asked) : new Map([[firmware.id, firmware]])
  const requestFor = requests(rollout, isBack, now)
  const rows = asked.map(({ number, update, incarnation, device, firmware: to, version, sha256, zone }) => {
    const body = JSON.stringify(requestFor(update, artifacts.get(to)!, zone ?? undefined))
    return { number, update, incarnation, device, firmware: to, version, sha256, body }
  })
  const json = JSON.stringify(rows)
  const columns = tx.unsafe(
    '(number int, "update" uuid, incarnation int, device text, firmware uuid, version text, sha256 text, body text)',
  )
  await tx`
    insert into updates (id, tenant, incarnation, device, rollout, firmware, kind, requested_by, from_version, from_sha256)
    select "update", ${tenant}, incarnation, device, ${id}::uuid, firmware, ${kindOf(isBack)}, ${`${by} (${whoIs(rollout)})`}, version, sha256
    from json_to_recordset(${json}::text::json) as new ${columns} on conflict (id) do nothing`
  await tx`
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select "update", ${tenant}, incarnation, incarnation % 16, 'update', body
    from json_to_recordset(${json}::text::json) as new ${columns} on conflict (id) do nothing`
  await tx`
    update rollout_targets t set status = 'underway', from_version = new.version, reason = null, not_before = null, started_at = now()
    from json_to_recordset(${json}::text::json) as new ${columns}
    where t.rollout = ${id} and t.back = ${isBack} and t.number = new.number`
}

type Artifact = Pick<RolloutFirmware, 'version' | 'sha256' | 'manifest'>

/** Older artifacts: few, whatever the number of devices. */
async function artifactsOf(tx: Transaction, asked: Next[]): Promise<Map<string, Artifact>> {
  const ids = [...new Set(asked.map(({ firmware }) => firmware))]
  const rows = await tx<Array<{ id: string; version: string; sha256: string; manifest: string }>>`
    select id, version, sha256, manifest from firmware where id in (select unnest(${`{${ids.join(',')}}`}::text::uuid[]))`
  return new Map(rows.map(({ id, manifest, ...row }) => [id, { ...row, manifest: manifestSchema.parse(JSON.parse(manifest)) }]))
}

function requests(rollout: Rollout, isBack: boolean, now: number) {
  const { spec, firmware, createdAt } = rollout
  const offerUntil = now + spec.offerMs
  const windowsFor = spec.window && windowsByZone(spec.window, now, offerUntil)
  return (id: string, { version, sha256, manifest }: Artifact, zone: string | undefined): UpdateRequest => {
    const { minBattery } = manifest.prerequisites
    // Only what the rollout brought is taken back.
    const fromVersions = isBack ? [firmware.version] : manifest.prerequisites.from
    return {
      ...{ id, rollout: rollout.id, kind: kindOf(isBack), firmware: { version, sha256 } },
      ...(fromVersions && { fromVersions }),
      ...(minBattery !== undefined && { minBattery }),
      ...(windowsFor && { windows: windowsFor(zone) }),
      offerUntil,
      ...{ installMs: spec.installMs, soakMs: spec.soakMs, silenceMs: spec.silenceMs, attempts: spec.attempts, retryMs: spec.retryMs },
      precedence: createdAt,
      by: whoIs(rollout),
    }
  }
}

function kindOf(isBack: boolean): UpdateRequest['kind'] {
  return isBack ? 'rollback' : 'install'
}

/** As its twins and requests name it. */
export function whoIs({ id }: Pick<Rollout, 'id'>): string {
  return `rollout ${id}`
}
