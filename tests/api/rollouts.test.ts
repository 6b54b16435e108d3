/** /v1/rollouts over REST, on real Postgres: asked for, looked at, listed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { untoldRollouts } from '../../infra/postgres/rollout-asked.ts'
import { ROLLOUT_LIMITS } from '../../twin-models/core/rollout-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { allItems, DEMO_KEY, OTHER_KEY } from './test-api.ts'
import { uploaded } from './test-firmware.ts'
import { LEFT_OUT, type RolloutApi, rolloutApi, WANTED } from './test-rollouts.ts'

const ACTIONS = ['approve', 'pause', 'resume', 'advance', 'halt', 'rollback', 'cancel', 'pace', 'exclude']
const nowhere = '00000000-0000-4000-8000-000000000000'

let api: RolloutApi
beforeAll(async () => {
  api = await rolloutApi()
})
afterAll(() => api?.database.drop())

describe('asking for one', () => {
  test('a preview says who is reached in which wave, and who is left out and why, and makes nothing', async () => {
    const { status, json } = await api.ask('POST', '/v1/rollouts?preview=true', { body: WANTED })
    expect(status).toBe(200)
    expect(json).toEqual({
      found: 12,
      total: 8,
      waves: [
        { wave: 1, rule: { percent: 25 }, devices: 2, sample: expect.any(Array) },
        { wave: 2, rule: { percent: 100 }, devices: 6, sample: expect.any(Array) },
      ],
      versions: [{ version: '1.0.0', devices: 8 }],
      leftOut: LEFT_OUT,
    })
    expect(json.waves[0].sample).toHaveLength(2)
    expect((await api.ask('GET', '/v1/rollouts')).json.items).toEqual([])
  })

  test('one that is made is a draft with its defaults and its preview, and waits for its workflow', async () => {
    const { status, json, headers } = await api.draft()
    expect([status, headers.get('location')]).toEqual([201, `/v1/rollouts/${json.id}`])
    expect(json).toMatchObject({
      name: 'To 2.0.0',
      status: 'draft',
      direction: 'forward',
      requestedBy: 'admin',
      asked: [],
      spec: {
        ...WANTED,
        gate: 0.95,
        failures: { share: 0.1, minimum: 10 },
        ...{
          soak: '10m',
          offerFor: '7d',
          installTimeout: '1h',
          silence: '1h',
          retryAfter: '1m',
          attempts: 3,
          perSecond: 50,
          atOnce: 10_000,
        },
        ...{ onHalt: 'continue', lateJoiners: 'ignore', approval: 'one', rollbackWaves: [{ percent: 10 }, { percent: 100 }] },
      },
      preview: { total: 8, leftOut: LEFT_OUT },
    })
    for (const absent of ['wave', 'startedAt', 'approvedBy']) expect(json).not.toHaveProperty(absent)
    expect((await untoldRollouts(api.database.sql)).map(({ id }) => id)).toContain(json.id)
    const empty = { total: 0, waiting: 0, later: 0, underway: 0, healthy: 0, failed: 0, silent: 0, left: 0 }
    const { preview: _, ...rest } = json
    expect(await api.show(json.id)).toEqual({
      ...rest,
      devices: empty,
      waves: [
        { wave: 1, rule: { percent: 25 }, ...empty },
        { wave: 2, rule: { percent: 100 }, ...empty },
      ],
      reasons: [],
      sites: [],
      leftOut: [],
    })
  })

  test('its waves are those of its preview, and a canary group comes first', async () => {
    const { json } = await api.draft({ waves: [{ group: 'pilots' }, { count: 3 }] })
    expect(json.preview.waves.map(({ rule, devices }: { rule: object; devices: number }) => [rule, devices])).toEqual([
      [{ group: 'pilots' }, 2],
      [{ count: 3 }, 3],
      [{ percent: 100 }, 3],
    ])
    const again = await api.ask('GET', `/v1/rollouts/${json.id}/preview`)
    // That its last wave was added is said to whoever asked for it.
    const { added, ...last } = json.preview.waves.at(-1)
    expect(added).toBe(true)
    expect([again.status, again.json]).toEqual([200, { ...json.preview, waves: [...json.preview.waves.slice(0, -1), last] }])
    await api.act(json.id, 'approve')
    await api.stands(json.id, { status: 'running', chosen: true })
    const devices = (await api.ask('GET', `/v1/rollouts/${json.id}/devices`)).json.items
    const of = (wave: number) => devices.filter((row: { wave?: number }) => row.wave === wave).map((row: { device: string }) => row.device)
    for (const { wave, sample } of json.preview.waves) expect(of(wave).sort()).toEqual(sample.toSorted())
    expect(of(1).sort()).toEqual(['t-7', 't-8'])
  })

  test.each<[string, object]>([
    [
      'with all that is special',
      {
        ...{
          soak: '0s',
          offerFor: '36h',
          installTimeout: '90s',
          silence: '2h',
          retryAfter: '1500ms',
          attempts: 1,
          gate: 1,
          lateJoiners: 'join',
        },
        ...{
          failures: { share: 0.05, minimum: 3, count: 20 },
          perSecond: 0.5,
          atOnce: 10,
          downloadBytesPerSecond: 1_000_000,
          onHalt: 'cancel',
        },
        ...{ window: { from: '22:00', to: '05:00', days: ['mon', 'sun'], timeZone: 'Europe/Berlin' }, approval: 'four-eyes' },
        ...{ waves: [{ group: 'pilots' }, { count: 1 }, { percent: 50 }], rollbackWaves: [{ count: 2 }] },
      },
    ],
    ['for a group', { filter: undefined, group: 'pilots' }],
  ])('what was asked for, %s, can be asked for again as it is shown', async (_what, more) => {
    const first = await api.draft(more)
    expect(first.status).toBe(201)
    expect(first.json.spec).toMatchObject(JSON.parse(JSON.stringify({ ...more, waves: undefined, rollbackWaves: undefined })))
    const again = await api.ask('POST', '/v1/rollouts', { body: first.json.spec })
    expect([again.status, again.json.spec]).toEqual([201, first.json.spec])
    const rows = await api.database.sql`select distinct spec from rollouts where id in (${first.json.id}, ${again.json.id})`
    expect(rows).toHaveLength(1)
  })

  test.each<[string, object, string, string?]>([
    ['no firmware', { firmware: undefined }, '/firmware'],
    ['firmware that there is not', { firmware: { name: 'thermostat', version: '7.7.7' } }, '/firmware'],
    ['neither filter nor group', { filter: undefined }, '/filter'],
    ['both', { group: 'pilots' }, '/filter'],
    ['a filter that breaks', { filter: 'attributes.site =' }, '/filter'],
    ['a group that there is not', { filter: undefined, group: 'nobody' }, '/group'],
    ['a canary group that there is not', { waves: [{ group: 'pilots' }, { group: 'nobody' }] }, '/waves/1/group'],
    ['waves that fall', { waves: [{ percent: 50 }, { percent: 25 }] }, '/waves/1/percent'],
    ['a wave too many', { waves: Array.from({ length: 21 }, () => ({ count: 1 })) }, '/waves', 'must have at most 20 waves'],
    ['a gate beyond all', { gate: 1.5 }, '/gate'],
    ['a soak that is none', { soak: 'long' }, '/soak'],
    ['a window without an end', { window: { from: '22:00' } }, '/window/to'],
    ['a member that is not known', { pace: 3 }, '/pace'],
  ])('%s is refused and says where', async (_what, more, path, says) => {
    const before = await allItems(api, '/v1/rollouts')
    for (const query of ['', '?preview=true']) {
      const { status, json } = await api.ask('POST', `/v1/rollouts${query}`, { body: { ...WANTED, ...more } })
      expect([status, json.errors[0].path]).toEqual([400, path])
      if (says !== undefined) expect(json.errors[0].detail).toBe(says)
    }
    expect(await allItems(api, '/v1/rollouts')).toEqual(before)
  })

  test('firmware that must not be rolled out is refused, and says why', async () => {
    await uploaded(api, undefined, { version: '4.0.0', counter: 4 })
    const body = { ...WANTED, firmware: { name: 'thermostat', version: '4.0.0' } }
    for (const query of ['', '?preview=true']) {
      const { status, json } = await api.ask('POST', `/v1/rollouts${query}`, { body })
      expect([status, json.detail]).toEqual([409, expect.stringContaining('4.0.0 cannot be rolled out. Nobody has signed it')])
    }
  })

  test('one that cannot choose its devices is refused, and nothing is made', async () => {
    const tooMany = new CastorError('invalid', 'It finds more than 1000000 devices.')
    const rollouts = { find: async () => undefined, preview: () => Promise.reject(tooMany), create: () => expect.unreachable() }
    const app = api.with({ rollouts: rollouts as never })
    const headers = { authorization: `Bearer ${DEMO_KEY}`, 'content-type': 'application/json' }
    const { status } = await app.request('/v1/rollouts', { method: 'POST', body: JSON.stringify(WANTED), headers })
    expect(status).toBe(400)
  })
})

test('so many that have not ended are the most that a tenant has, and who has them can begin another when one has ended', async () => {
  const { sql } = api.database
  const [{ open }] = await sql<[{ open: number }]>`select count(*)::int as open from rollouts where tenant = 'demo' and ended_at is null`
  await sql`
    insert into rollouts (id, tenant, name, firmware, spec, requested_by, workflow)
    select gen_random_uuid(), 'demo', 'many', ${api.next.id}, '{}', 'test', 'many' from generate_series(1, ${ROLLOUT_LIMITS.open - open}::int)`
  const { status, json } = await api.draft()
  expect([status, json.detail]).toEqual([409, expect.stringContaining(`${ROLLOUT_LIMITS.open} rollouts have not ended`)])
  await sql`update rollouts set ended_at = now() where name = 'many' and number = (select max(number) from rollouts where name = 'many')`
  expect((await api.draft()).status).toBe(201)
  await sql`delete from rollouts where name = 'many'`
})

describe('an Idempotency-Key', () => {
  const headers = { 'idempotency-key': '6a0f2b0e-1111-4222-8333-444455556666' }

  test('makes the same request one rollout, also for many at once', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => api.draft({}, headers)))
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201])
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1)
    expect(new Set(answers.map(({ json }) => JSON.stringify(json.preview))).size).toBe(1)
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(2)

    const { id } = answers[0]!.json
    await api.act(id, 'approve')
    await api.stands(id, { status: 'running', approvedBy: 'admin', chosen: true })
    const again = await api.draft({}, headers)
    expect(again.json).toMatchObject({ id, status: 'running', wave: 1 })
    expect(again.json.preview).toBeUndefined()
    const other = await api.draft({ gate: 0.5 }, headers)
    expect([other.status, other.json.errors[0].path]).toEqual([409, 'header:Idempotency-Key'])
  })

  test('is free again after a refusal', async () => {
    const free = { 'idempotency-key': 'free-free-free-free' }
    expect((await api.draft({ filter: undefined, group: 'later' }, free)).status).toBe(400)
    await api.ask('PUT', '/v1/groups/later', { body: { filter: 'exists id' } })
    const taken = await api.draft({ filter: undefined, group: 'later' }, free)
    expect([taken.status, taken.headers.get('idempotency-replayed')]).toEqual([201, null])
  })
})

describe('looking at one', () => {
  let id: string
  beforeAll(async () => {
    id = await api.running()
    const { sql } = api.database
    const ends: Array<[number, string, string | null]> = [
      [1, 'healthy', null],
      [2, 'timed-out', 'silent'],
      [3, 'failed', '=cmd|calc'],
      [4, 'timed-out', 'away'],
      [5, 'underway', null],
    ]
    for (const [number, status, reason] of ends)
      await sql`
        update rollout_targets set status = ${status}, reason = ${reason}, started_at = now(), ended_at = case when ${status} <> 'underway' then now() end
        where rollout = ${id} and not back and number = ${number}`
  })

  test('its waves are counted, with who failed and why, and who was left out', async () => {
    const json = await api.show(id)
    expect(json).toMatchObject({ status: 'running', wave: 1, approvedBy: 'admin', direction: 'forward', startedAt: expect.any(String) })
    expect(json.waves).toMatchObject([
      { wave: 1, total: 2, healthy: 1, failed: 1, silent: 1 },
      { wave: 2, total: 6, waiting: 3, underway: 1, failed: 1, silent: 0, left: 1 },
    ])
    expect(json.devices).toEqual({ total: 8, waiting: 3, later: 0, underway: 1, healthy: 1, failed: 2, silent: 1, left: 1 })
    expect(json.reasons).toHaveLength(3)
    expect(json.reasons[0]).toEqual({ status: 'failed', reason: '=cmd|calc', devices: 1, sample: [expect.any(String)] })
    expect(json.leftOut.map(({ reason }: { reason: string }) => reason).sort()).toEqual(['already-installed', 'model', 'older', 'pinned'])
    expect(json.rollbackWaves).toBeUndefined()
  })

  test('its devices are listed in order, page by page, by status, wave and way', async () => {
    const path = `/v1/rollouts/${id}/devices`
    const all = await allItems(api, `${path}?limit=5`)
    expect(all).toHaveLength(12)
    expect(all.slice(0, 8).map(({ wave }) => wave)).toEqual([1, 1, 2, 2, 2, 2, 2, 2])
    expect(all[0]).toEqual({
      device: expect.any(String),
      wave: 1,
      from: '1.0.0',
      status: 'healthy',
      update: expect.any(String),
      startedAt: expect.any(String),
      endedAt: expect.any(String),
      back: false,
    })
    expect(all[7]).toEqual({ device: expect.any(String), wave: 2, from: '1.0.0', status: 'waiting', back: false })
    const list = async (query: string) => (await allItems(api, `${path}?limit=2&${query}`)).map(({ device }) => device)
    const deviceAt = (...places: number[]) => places.map((place) => all[place].device)
    expect(await list('status=timed-out,failed')).toEqual(deviceAt(1, 2, 3))
    expect(await list('wave=1')).toEqual(deviceAt(0, 1))
    expect(await list('wave=2&status=timed-out')).toEqual(deviceAt(3))
    expect((await list('wave=0')).sort()).toEqual(['has-it', 'is-newer', 'is-pinned', 'is-pump'])
    expect(await list('back=true')).toEqual([])
    expect(await list('back=false')).toEqual(all.map(({ device }) => device))
  })

  test.each(['status=done', 'wave=x', 'wave=22', 'wave=-1', 'wave=1.5', 'back=1', 'cursor=xx', 'device=t-1'])(
    'refuses ?%s by name',
    async (query) => {
      for (const file of ['devices', 'devices.csv']) {
        const { status, json } = await api.ask('GET', `/v1/rollouts/${id}/${file}?${query}`)
        expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
      }
    },
  )

  test('they come as CSV, by header or by name, narrowed or all, and what looks like a formula is harmless', async () => {
    const byHeader = await api.ask('GET', `/v1/rollouts/${id}/devices?limit=2`, { headers: { accept: 'text/csv' } })
    expect(byHeader.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present')
    expect(byHeader.headers.get('content-disposition')).toBe(`attachment; filename="rollout-${id}.csv"`)
    const lines = byHeader.text.split('\r\n')
    expect(lines[0]).toBe('device,wave,from,status,reason,startedAt,endedAt,back')
    expect([lines.length, lines.at(-1)]).toEqual([14, ''])
    expect(lines[1]).toMatch(/^t-\d,1,1\.0\.0,healthy,,2\d{3}-[^,]+Z,2\d{3}-[^,]+Z,false$/)
    expect(lines[3]).toMatch(/^t-\d,2,1\.0\.0,failed,'=cmd\|calc,/)
    expect(lines[8]).toMatch(/^t-\d,2,1\.0\.0,waiting,,,,false$/)
    expect(lines.slice(9, 13).every((line) => /^[\w-]+,,[\d.]+,skipped,[\w-]+,,2\d{3}-[^,]+Z,false$/.test(line))).toBe(true)
    expect((await api.ask('GET', `/v1/rollouts/${id}/devices.csv`)).text).toBe(byHeader.text)
    const narrowed = await api.ask('GET', `/v1/rollouts/${id}/devices.csv?status=failed`)
    expect(narrowed.text).toBe(`${lines[0]}\r\n${lines[3]}\r\n`)
    expect((await api.ask('GET', `/v1/rollouts/${id}/devices.csv?back=true`)).text).toBe(`${lines[0]}\r\n`)
    const either = await api.ask('GET', `/v1/rollouts/${id}/devices`, { headers: { accept: 'application/json, text/csv' } })
    expect(either.headers.get('content-type')).toBe('application/json')
  })

  test('what its devices said stays one cell', async () => {
    const rude = ['-1', '+1', '@x', '\tx', 'a,b', 'say "hi"', 'two\nlines', 'a\rb']
    for (const [i, reason] of rude.entries())
      await api.database.sql`
        insert into rollout_targets (rollout, back, number, wave, incarnation, device, status, from_version, reason)
        values (${id}, true, ${i + 1}, 0, ${i}, 'rude', 'failed', ${reason}, ${reason})`
    const { text } = await api.ask('GET', `/v1/rollouts/${id}/devices.csv?back=true`)
    const cells = ["'-1", "'+1", "'@x", "'\tx", '"a,b"', '"say ""hi"""', '"two\nlines"', '"a\rb"']
    expect(text).toBe(
      `device,wave,from,status,reason,startedAt,endedAt,back\r\n${cells.map((cell) => `rude,1,${cell},failed,${cell},,,true\r\n`).join('')}`,
    )
    await api.database.sql`delete from rollout_targets where rollout = ${id} and back`
  })

  test('very many come whole and in order', async () => {
    const { json } = await api.draft()
    await api.database.sql`
      insert into rollout_targets (rollout, back, number, wave, incarnation, device, status)
      select ${json.id}, n > 4000, n, 0, n, 'd-' || n, 'waiting' from generate_series(1, 5000) n`
    const { text } = await api.ask('GET', `/v1/rollouts/${json.id}/devices.csv`)
    const devices = text.trimEnd().split('\r\n').slice(1)
    expect(devices.map((line) => line.split(',')[0])).toEqual(Array.from({ length: 5_000 }, (_, i) => `d-${i + 1}`))
    expect(devices.filter((line) => line.endsWith('true'))).toHaveLength(1_000)
  })

  test('once its devices are chosen it has no preview; a draft whose group is gone says so', async () => {
    const chosen = await api.ask('GET', `/v1/rollouts/${id}/preview`)
    expect([chosen.status, chosen.json.detail]).toEqual([409, expect.stringContaining('devices are chosen')])
    await api.ask('PUT', '/v1/groups/short', { body: { filter: 'exists id' } })
    const { json } = await api.draft({ filter: undefined, group: 'short' })
    await api.ask('DELETE', '/v1/groups/short')
    const gone = await api.ask('GET', `/v1/rollouts/${json.id}/preview`)
    expect([gone.status, gone.json.detail]).toEqual([409, expect.stringContaining('short')])
  })

  test('one that goes back shows both ways', async () => {
    const back = await api.running()
    await api.database.sql`
      update rollout_targets set status = 'healthy', started_at = now(), ended_at = now() where rollout = ${back} and number = 1 and not back`
    await api.database.sql`
      update devices set decided = decided || ${JSON.stringify({ firmware: api.next.firmware })}::text::jsonb
      where incarnation = (select incarnation from rollout_targets where rollout = ${back} and number = 1 and not back)`
    await api.stands(back, { status: 'rolling-back', direction: 'back', wave: 0 })
    const json = await api.show(back)
    expect(json).toMatchObject({ status: 'rolling-back', direction: 'back', wave: 1, devices: { total: 1, waiting: 1 } })
    expect(json.waves).toMatchObject([{ total: 2, healthy: 1 }, { total: 6 }])
    expect(json.rollbackWaves).toMatchObject([
      { wave: 1, rule: { percent: 10 }, total: 1 },
      { wave: 2, rule: { percent: 100 }, total: 0 },
    ])
    expect(json.leftOut).toEqual([])
    expect(json.forward).toMatchObject({ devices: { total: 8, healthy: 1 }, reasons: [], sites: [], leftOut: LEFT_OUT })
    const devices = await allItems(api, `/v1/rollouts/${back}/devices?limit=5`)
    expect([devices.length, devices.at(-1)]).toEqual([
      13,
      expect.objectContaining({ device: devices[0].device, back: true, status: 'waiting' }),
    ])
    await api.database.sql`
      update devices set decided = decided || ${JSON.stringify({ firmware: api.old.firmware })}::text::jsonb where device = ${devices[0].device}`
  })
})

describe('rollouts', () => {
  test('are listed newest first, by status too, page by page', async () => {
    for (const status of ['completed', 'cancelled'] as const) await api.stands(await api.running(), { status })
    const all = await allItems(api, '/v1/rollouts?limit=4')
    const rows = await api.database.sql<Array<{ id: string }>>`select id from rollouts order by number desc`
    expect(all.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
    const some = await allItems(api, '/v1/rollouts?limit=2&status=completed,cancelled')
    expect(some.map(({ status }) => status)).toEqual(['cancelled', 'completed'])
    expect(some[0]).toMatchObject({ name: 'To 2.0.0', spec: { firmware: WANTED.firmware }, endedAt: expect.any(String) })
    expect((await api.ask('GET', '/v1/rollouts?status=done')).status).toBe(400)
  })

  test('are a tenant’s own: of another one they are not there', async () => {
    const { id } = (await allItems(api, '/v1/rollouts?status=running'))[0]
    const before = (await api.show(id)).asked
    for (const [of, tenantKey] of [
      [id, OTHER_KEY],
      [nowhere, undefined],
      ['7', undefined],
    ] as const) {
      const options = tenantKey === undefined ? {} : { key: tenantKey }
      for (const path of ['', '/preview', '/devices', '/devices.csv'])
        expect((await api.ask('GET', `/v1/rollouts/${of}${path}`, options)).status).toBe(404)
      for (const action of ACTIONS) {
        const body = action === 'pace' ? { perSecond: 1 } : action === 'exclude' ? { device: 't-1' } : {}
        expect((await api.ask('POST', `/v1/rollouts/${of}/${action}`, { body, ...options })).status).toBe(404)
      }
    }
    expect((await api.show(id)).asked).toEqual(before)
    expect((await api.ask('GET', '/v1/rollouts', { key: OTHER_KEY })).json.items).toEqual([])
    const theirs = await api.ask('POST', '/v1/rollouts', { key: OTHER_KEY, body: WANTED })
    expect([theirs.status, theirs.json.errors[0].path]).toEqual([400, '/firmware'])
  })
})
