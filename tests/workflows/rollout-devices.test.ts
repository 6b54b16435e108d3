/** Rollouts on a real Temporal and a real Postgres: whom they choose, whom they leave out, and how devices come back to what they ran before. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { registerRollout } from '../../infra/postgres/rollouts.ts'
import { initialRollout } from '../../twin-models/core/rollout.ts'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { until } from '../support/wait.ts'
import { fleet, sha256Of } from './fleet.ts'
import { artifact, begun, eventsOf, startRolloutWorker, stored } from './rollouts.ts'
import { setting } from './setting.ts'
import { details } from './told.ts'

const here = setting(startRolloutWorker)

const rolloutOf = (devices: number, spec?: object, options?: Parameters<typeof begun>[4]) =>
  begun(here.sql, here.worker, devices, spec, options)

async function group(name: string, filter: string, pin: string | null = null): Promise<void> {
  await here.sql`
    insert into groups (tenant, name, filter, firmware_pin) values ('demo', ${name}, ${filter}, ${pin})
    on conflict (tenant, name) do update set firmware_pin = excluded.firmware_pin`
}

test('it leaves out whom it is not for, says why, and counts them in no wave', async () => {
  const { sql } = here
  const site = `site-${randomUUID()}`
  await fleet(sql, 1, { site, model: 'pump' })
  await fleet(sql, 2, { site, version: '2.0.0', attributes: { hardware: 'rev-b' } })
  await fleet(sql, 1, { site, version: '3.0.0', attributes: { hardware: 'rev-b' } })
  await fleet(sql, 1, { site, version: '0.9.0', attributes: { hardware: 'rev-b' } })
  await fleet(sql, 1, { site, attributes: { hardware: 'rev-c' } })
  await fleet(sql, 3, { site, attributes: { hardware: 'rev-a', tags: ['slow'] } })
  const pinned = `pinned-${site}`
  const manifest = { hardware: ['rev-a', 'rev-b'], prerequisites: { from: ['1.0.0', '1.1.0'] } }
  const { firmware, name, handle, steer, opens, targets, twins } = await rolloutOf(
    4,
    { approval: 'one', waves: [{ count: 3 }, { percent: 100 }], gate: 0 },
    { manifest, fleet: { site, attributes: { hardware: 'rev-b' } } },
  )
  await artifact(sql, firmware, '3.0.0', 3)
  await artifact(sql, firmware, '0.9.0', 1)
  await group(pinned, `attributes.site = '${site}' and attributes.hardware = 'rev-a'`, '1.0.0')
  await steer('approve', { by: 'ann' })
  await opens(4)
  expect(await targets()).toEqual({
    underway: 4,
    ...{
      'skipped model': 1,
      'skipped already-installed': 2,
      'skipped older': 1,
      'skipped from-version': 1,
      'skipped hardware': 1,
      'skipped pinned': 3,
    },
  })
  expect(await details(handle)).toContain('- `pinned`: 3 (')
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ devices: { total: 4, healthy: 4, left: 0 } })
  const preview = await here.worker.store.preview((await here.worker.store.find('demo', (await idOf(name))!))!)
  expect(preview).toMatchObject({ found: 13, total: 0, waves: [{ devices: 0 }, { devices: 0 }] })
})

test('a preview says how many each wave would hold, with some of them, from which versions, and who is left out', async () => {
  const { sql } = here
  const { firmware, site } = await rolloutOf(17, { approval: 'one' })
  await fleet(sql, 3, { site, version: '1.1.0' })
  await fleet(sql, 2, { site, model: 'pump' })
  const waves = [{ count: 2 }, { percent: 50 }]
  const request = { name: 'preview', firmware: { name: firmware, version: '2.0.0' }, filter: `attributes.site = '${site}'`, waves }
  const id = randomUUID()
  await registerRollout(sql, { id, tenant: 'demo', by: 'ann', spec: rolloutSpecOf(rolloutRequest.parse(request)) })
  const found = (await here.worker.store.find('demo', id))!
  const preview = await here.worker.store.preview(found)
  expect(preview).toMatchObject({
    ...{ found: 22, total: 20, leftOut: [{ reason: 'model', devices: 2, sample: [expect.any(String), expect.any(String)] }] },
    versions: [
      { version: '1.0.0', devices: 17 },
      { version: '1.1.0', devices: 3 },
    ],
  })
  expect(preview.waves.map(({ devices, sample }) => [devices, sample.length])).toEqual([
    [2, 2],
    [8, 5],
    [10, 5],
  ])
  // What it chooses then is what it showed.
  await here.worker.store.choose(found, 'forward')
  const first = await sql<Array<{ device: string }>>`select device from rollout_targets where rollout = ${id} and wave = 0 order by number`
  expect(first.map(({ device }) => device)).toEqual(preview.waves[0]!.sample)
  const order = await sql<Array<{ number: number; wave: number }>>`
    select number, wave from rollout_targets where rollout = ${id} and wave >= 0 order by number`
  expect(order.map(({ wave }) => wave)).toEqual([...Array(2).fill(0), ...Array(8).fill(1), ...Array(10).fill(2)])
})

test('canary groups come first, and nobody is in two of them', async () => {
  const { sql } = here
  const site = await fleet(sql, 3, { attributes: { tags: ['lab'], lab: true } })
  const [lab, all] = [`lab-${site}`, `canary-${site}`]
  await group(lab, `attributes.site = '${site}' and attributes.lab = true`)
  await group(all, `attributes.site = '${site}' and attributes.canary = true`)
  await fleet(sql, 2, { site, attributes: { canary: true } })
  await sql`update devices set attributes = attributes || '{"canary": true}' where device in (
    select device from devices where attributes ->> 'site' = ${site} and attributes ->> 'lab' = 'true' limit 1)`
  const waves = [{ group: lab }, { group: all }, { percent: 100 }]
  const { opens, twins, handle, state } = await rolloutOf(5, { waves }, { fleet: { site } })
  for (const [wave, count] of [3, 2, 5].entries()) {
    const updates = await opens(count)
    expect((await state()).wave).toBe(wave)
    if (wave === 0) expect(await labs(updates.map(({ incarnation }) => incarnation))).toBe(3)
    await twins.end('healthy')
  }
  await handle.result()

  async function labs(incarnations: number[]): Promise<number> {
    return (await sql`select from devices where attributes ->> 'lab' = 'true' and incarnation = any(${incarnations}::int[])`).length
  }
})

test('a device that is busy with another update is asked again, as another update, and not before its time', async () => {
  const { sql } = here
  const { opens, twins, handle, targets, name } = await rolloutOf(2)
  const [busy, other] = await opens(2)
  await twins.endOne(busy!, 'skipped', 'busy')
  await twins.endOne(other!, 'healthy')
  await until(async () => (await targets())['waiting busy'] === 1, 'it waits again')
  await until(async () => (await details(handle)).includes('1 of 2 are healthy'), 'the other one is done')
  expect(await twins.asked()).toHaveLength(2)
  await sql`update rollout_targets set not_before = now() where rollout = ${(await idOf(name))!} and status = 'waiting'`
  const [again] = await opens(1)
  expect(again!.incarnation).toBe(busy!.incarnation)
  expect(again!.id).not.toBe(busy!.id)
  // Busy again and again, it is asked ever more seldom, and every hour at least.
  const id = (await idOf(name))!
  const waits: number[] = []
  for (const times of [1, 2, 8]) {
    await sql`update rollout_targets set busy = ${times} where rollout = ${id} and status = 'underway'`
    await twins.end('skipped', { code: 'busy' })
    await until(async () => (await targets())['waiting busy'] === 1, 'it waits again')
    const [{ minutes }] = await sql<[{ minutes: number }]>`
      select round(extract(epoch from not_before - now()) / 60)::int as minutes from rollout_targets where rollout = ${id} and status = 'waiting'`
    waits.push(minutes)
    await sql`update rollout_targets set not_before = now() where rollout = ${id} and status = 'waiting'`
    await opens(1)
  }
  expect(waits).toEqual([2, 4, 60])
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ devices: { healthy: 2, left: 0 } })
})

test('what has changed since it chose counts: devices removed, pinned, updated by others or excluded are not asked', async () => {
  const { sql } = here
  const { opens, twins, handle, targets, site, firmware, steer, open } = await rolloutOf(8, {
    waves: [{ count: 2 }, { percent: 100 }],
    gate: 1,
  })
  const [gone, excluded] = await opens(2)
  const rest = await sql<Array<{ device: string; incarnation: number }>>`
    select t.device, t.incarnation from rollout_targets t join devices d using (incarnation) where d.attributes ->> 'site' = ${site} and t.status = 'waiting'`
  const [removed, pinned, newer, waiting] = rest
  await artifact(sql, firmware, '3.0.0', 3)
  await sql`delete from devices where incarnation = ${removed!.incarnation}`
  await group(`pin-${site}`, `id = '${pinned!.device}'`, '1.0.0')
  await sql`update devices set decided = ${JSON.stringify({ firmware: { version: '3.0.0' } })}::text::jsonb where incarnation = ${newer!.incarnation}`
  expect(await steer('exclude', { device: waiting!.device })).toContain('it is not asked')
  expect(await steer('exclude', { device: excluded!.device })).toContain('its update is cancelled')
  expect(await steer('exclude', { device: 'no-such-device' })).toContain('There is no device no-such-device')
  await twins.obeyCancels()
  // As the processor does it for a device that is removed.
  await sql`delete from devices where incarnation = ${gone!.incarnation}`
  await sql`update updates set status = 'cancelled', code = 'device-removed', ended_at = now() where id = ${gone!.id}`
  expect((await opens(2)).map(({ request }) => request.kind)).toEqual(['install', 'install'])
  await until(async () => (await open()).length === 2, 'only two are asked')
  expect(await targets()).toEqual({
    underway: 2,
    ...{
      'cancelled excluded': 1,
      'cancelled device-removed': 1,
      'skipped device-removed': 1,
      'skipped pinned': 1,
      'skipped older': 1,
      'skipped excluded': 1,
    },
  })
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ devices: { healthy: 2, left: 6 } })
  expect(await steer('exclude', { device: waiting!.device }).catch(() => 'ended')).toBe('ended')
})

test('late devices join the last wave where they are wanted, and nobody is in it twice', async () => {
  const { sql } = here
  const waves = [{ count: 2 }, { percent: 100 }]
  const { opens, twins, handle, site, targets } = await rolloutOf(4, { waves, lateJoiners: 'join' })
  await opens(2)
  await fleet(sql, 3, { site })
  await fleet(sql, 1, { site, model: 'pump' })
  await twins.end('healthy')
  await opens(5)
  await fleet(sql, 1, { site })
  await twins.end('healthy')
  await opens(1)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 8, healthy: 8 } })
  expect(await targets()).toEqual({ healthy: 8, 'skipped model': 1 })
})

test('updates are asked within the maintenance windows of their devices, in their own time zones', async () => {
  const { sql } = here
  const site = await fleet(sql, 1, { attributes: { timeZone: 'Asia/Tokyo' } })
  const window = { from: '02:00', to: '04:00', timeZone: 'Europe/Berlin' }
  const { opens, twins, handle } = await rolloutOf(1, { window, offerFor: '3d' }, { fleet: { site } })
  const hours = (await opens(2)).map(({ request }) => request.windows!.map(([from]) => new Date(from).getUTCHours()))
  expect(hours.map((of) => [...new Set(of)]).sort()).toEqual([[1], [17]].sort())
  await twins.end('healthy')
  await handle.result()
})

test('rolled back, devices return to what they ran in waves of their own, where the manifest names a way', async () => {
  const { sql } = here
  const site = await fleet(sql, 2, { version: '0.8.0' })
  const spec = { waves: [{ percent: 100 }], rollbackWaves: [{ count: 2 }, { percent: 100 }], gate: 0.1, failures: { share: 1 } }
  const { opens, open, twins, handle, steer, targets, state, becomes, name } = await rolloutOf(8, spec, { fleet: { site } })
  const updates = await opens(10)
  const old = await withVersion('0.8.0')
  for (const update of updates.filter(({ incarnation }) => old.includes(incarnation))) await twins.endOne(update, 'healthy')
  await twins.end('healthy', { most: 4 })
  await twins.end('failed', { code: 'unhealthy', most: 1 })
  await until(async () => (await targets()).healthy === 6, 'it has seen them')
  expect(await steer('rollback')).toContain('It rolls back.')
  await becomes('rolling-back')
  // Three are under way: one of them becomes healthy even so.
  const [late] = await open()
  await twins.endOne(late!, 'healthy')
  await twins.obeyCancels()
  const back = await opens(2)
  for (const { request } of back)
    expect(request).toMatchObject({ kind: 'rollback', firmware: { version: '1.0.0', sha256: sha256Of('1.0.0') }, fromVersions: ['2.0.0'] })
  expect(await state()).toMatchObject({ back: true, wave: 0 })
  await twins.end('healthy')
  await opens(3)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 5, healthy: 5 } })
  expect(await targets(true)).toEqual({ healthy: 5, 'skipped no-way-back': 2 })
  const report = await details(handle)
  expect(report).toContain('**2 devices stay on 2.0.0: there is no way back from it.**')
  expect(report).toContain('- Wave 1 (100 %): 10 devices: 7 healthy, 1 failed, 2 left')
  expect(report).toContain('On the way forward: why devices did not end healthy')
  expect(report).toContain('- failed, `unhealthy`: 1 (')
  expect(await withVersion('1.0.0')).toHaveLength(8)
  const events = await eventsOf(sql, (await idOf(name))!)
  expect(events.at(-1)).toMatchObject({ kind: 'rollout-ended', event: { rollback: true, devices: { total: 5 } } })

  async function withVersion(version: string): Promise<number[]> {
    const rows = await sql<Array<{ incarnation: number }>>`
      select incarnation from devices where attributes ->> 'site' = ${site} and decided #>> '{firmware,version}' = ${version}`
    return rows.map(({ incarnation }) => incarnation)
  }
})

test('a device that is excluded from the draft, or before devices are chosen, is not asked', async () => {
  const { sql } = here
  const { opens, handle, steer, targets, twins, site, name } = await rolloutOf(4, { approval: 'one' })
  const devices = await sql<Array<{ device: string }>>`select device from devices where attributes ->> 'site' = ${site} order by device`
  expect(await steer('exclude', { device: devices[0]!.device })).toContain('it is not asked')
  const { id } = await stored(sql, name)
  const rollout = (await here.worker.store.find('demo', id))!
  expect(await here.worker.store.preview(rollout)).toMatchObject({
    total: 3,
    leftOut: [{ reason: 'excluded', devices: 1, sample: [devices[0]!.device] }],
  })
  await steer('approve', { by: 'ann' })
  await opens(3)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 3, healthy: 3 } })
  expect(await targets()).toEqual({ healthy: 3, 'skipped excluded': 1 })
})

test('a rollback that reaches nobody says so, and what its way forward had come to', async () => {
  const { opens, twins, handle, steer, state, targets } = await rolloutOf(
    3,
    { gate: 0.1, failures: { share: 1 } },
    { manifest: { rollbackTo: [] } },
  )
  await opens(3)
  await twins.end('healthy', { most: 2 })
  await until(async () => (await targets()).healthy === 2, 'it has seen them')
  expect(await steer('rollback')).toContain('It rolls back.')
  await twins.obeyCancels()
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 0 } })
  expect(await state()).toMatchObject({ back: true })
  const report = await details(handle)
  expect(report).toContain('### Rollback completed: it reaches nobody')
  expect(report).toContain('**2 devices stay on 2.0.0: there is no way back from it.**')
  expect(report).toContain('The way forward, before the rollback')
  expect(report).toContain('- Wave 1 (100 %): 3 devices: 2 healthy, 1 left')
})

test('rolled back while a device reboots, it waits for what that runs then, and takes it back with the others', async () => {
  const { sql } = here
  const { opens, twins, handle, steer, targets, becomes } = await rolloutOf(2, { waves: [{ percent: 100 }], gate: 0.1 })
  const [reboots] = await opens(2)
  await twins.tell()
  await sql`update updates set status = 'rebooting' where id = ${reboots!.id}`
  await steer('rollback')
  await becomes('rolling-back')
  await twins.obeyCancels()
  await until(async () => (await targets())['cancelled cancelled'] === 1, 'the other one is called back')
  expect(await targets()).toEqual({ 'cancelled cancelled': 1, underway: 1 })
  await sql`
    update devices set decided = decided || ${JSON.stringify({ firmware: reboots!.request.firmware })}::text::jsonb
    where incarnation = ${reboots!.incarnation}`
  await sql`update updates set status = 'soaking' where id = ${reboots!.id}`
  await until(async () => {
    await twins.obeyCancels()
    return (await targets())['cancelled cancelled'] === 2
  }, 'it does not soak')
  expect(await opens(1)).toMatchObject([{ device: reboots!.device, request: { kind: 'rollback', firmware: { version: '1.0.0' } } }])
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 1, healthy: 1 } })
})

test('only those whose update did not end healthy go back, when that is asked for, also after it was completed', async () => {
  const { sql } = here
  const { opens, twins, handle, name, targets, site } = await rolloutOf(4, {
    gate: 0.1,
    failures: { share: 1 },
    rollbackWaves: [{ percent: 100 }],
  })
  const updates = await opens(4)
  // Two run the new version and are not well.
  for (const { incarnation, request } of updates.slice(0, 2))
    await sql`update devices set decided = decided || ${JSON.stringify({ firmware: request.firmware })}::text::jsonb where incarnation = ${incarnation}`
  await twins.end('failed', { code: 'unhealthy', most: 3 })
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 1, failed: 3 } })
  const id = (await idOf(name))!
  const again = await here.worker.start({ tenant: 'demo', id, ask: { action: 'rollback', which: 'failed' } })
  await opens(2)
  const [row] = await sql<Array<{ status: string; over: boolean; workflow: string }>>`
    select status, ended_at is not null as over, workflow from rollouts where id = ${id}`
  expect(row).toEqual({ status: 'rolling-back', over: false, workflow: again.workflowId })
  await twins.end('healthy')
  expect(await again.result()).toMatchObject({ id, status: 'completed', devices: { total: 2, healthy: 2 } })
  expect(await targets(true)).toEqual({ healthy: 2 })
  // The others, too.
  const others = await here.worker.start({ tenant: 'demo', id, ask: { action: 'rollback' } })
  await opens(1)
  await twins.end('healthy')
  expect(await others.result()).toMatchObject({ id, status: 'completed', devices: { total: 3, healthy: 3 } })
  expect(site).toBeTruthy()
})

test('a way back that was cancelled can be gone on with, also to those that it was not to ask any more', async () => {
  const { opens, twins, handle, name, targets } = await rolloutOf(3, { rollbackWaves: [{ count: 1 }, { percent: 100 }] })
  await opens(3)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed' })
  const id = (await idOf(name))!
  const back = await here.worker.start({ tenant: 'demo', id, ask: { action: 'rollback' } })
  await opens(1)
  await back.executeUpdate('cancel', { args: [{ running: 'continue' }] })
  await twins.end('healthy')
  expect(await back.result()).toMatchObject({ status: 'cancelled', devices: { total: 3, healthy: 1, left: 2 } })
  const again = await here.worker.start({ tenant: 'demo', id, ask: { action: 'rollback' } })
  await opens(2)
  await twins.end('healthy')
  expect(await again.result()).toMatchObject({ id, status: 'completed', devices: { total: 3, healthy: 3 } })
  expect(await targets(true)).toEqual({ healthy: 3 })
})

test('sites where far more fail than elsewhere are named', async () => {
  const { sql } = here
  const id = randomUUID()
  const { firmware, site } = await rolloutOf(0)
  const [bad, good] = [await fleet(sql, 5, { attributes: { fleet: site } }), await fleet(sql, 20, { attributes: { fleet: site } })]
  const request = {
    name: id,
    firmware: { name: firmware, version: '2.0.0' },
    filter: `attributes.fleet = '${site}'`,
    waves: [{ percent: 100 }],
  }
  await registerRollout(sql, { id, tenant: 'demo', by: 'ann', spec: rolloutSpecOf(rolloutRequest.parse(request)) })
  const found = (await here.worker.store.find('demo', id))!
  await here.worker.store.choose(found, 'forward')
  await sql`
    update rollout_targets t set status = case when is_bad and place > 1 or not is_bad and place = 1 then 'failed' else 'healthy' end, reason = 'unhealthy'
    from (select device, device like ${`${bad}%`} as is_bad, row_number() over (partition by device like ${`${bad}%`} order by device) as place
      from rollout_targets where rollout = ${id}) known
    where t.rollout = ${id} and t.device = known.device`
  const state = initialRollout({ ...found.spec, by: 'ann' })
  const { details: seen } = await here.worker.store.step(found, { n: 0, state, heard: [], detailed: true })
  expect(seen!.sites.map(({ site }) => site)).toEqual([bad])
  expect(good).not.toBe(bad)
})

async function idOf(name: string): Promise<string | undefined> {
  const [row] = await here.sql<Array<{ id: string }>>`select id from rollouts where name = ${name}`
  return row?.id
}
