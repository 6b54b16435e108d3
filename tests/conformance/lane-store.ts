/** What every store of the processor must do, whatever it is made of: one transaction a tick, which becomes true as a whole or not at all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FINISHED, type Lane, type LaneStore, LeaseLost, type TickChanges, type UpdateNews } from '../../api/ingest/lane-store.ts'
import { HEARTBEAT_LANE } from '../../api/ingest/log.ts'
import { newWork } from '../../api/ingest/work.ts'
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import type { Value } from '../../twin-models/core/types.ts'
import { alarmRow, clearedAt } from '../support/alarms.ts'

export interface LaneStoreUnderTest {
  store: LaneStore
  register(device: string): Promise<number>
  remove(incarnation: number): Promise<void>
  answer(incarnation: number, seq: number): Promise<void>
  request(id: string, incarnation: number, kind?: string, body?: string): Promise<void>
  answerOf(request: string): Promise<string | null>
  /** A command of the device, as REST writes it; with what a bridge or a decision made of it since. */
  command(id: string, incarnation: number, since?: { status: string; ended: boolean }): Promise<void>
  commandOf(id: string): Promise<CommandShown>
  /** An update of the device, as a rollout writes it; with what became of it since. */
  update(id: string, incarnation: number, since?: UpdateSince): Promise<void>
  updateOf(id: string): Promise<UpdateShown>
  /** A wish of the device, as a decision writes it. */
  wish(incarnation: number): Promise<void>
  hasWish(incarnation: number): Promise<boolean>
  /** Alarms of the device, as decisions write them. */
  alarms(incarnation: number, ...rows: AlarmChange[]): Promise<void>
  alarmsOf(incarnation: number): Promise<Array<Pick<AlarmChange, 'n' | 'status' | 'clearReason'> & { ended: boolean }>>
  openStream(): Promise<number>
  append(entry: { stream: number; seq: number; lane: number; at: number; heads: string; body: Buffer }): Promise<void>
  /** By time. */
  readings(incarnation: number): Promise<Array<{ ts: number; receivedAt: number; value: Value; messageId: string | null }>>
  deadLetters(incarnation: number): Promise<Array<{ reason: string; raw: number[] }>>
  leases: {
    share(processor: string): Promise<number>
    renew(processor: string): Promise<number[]>
    claim(processor: string, count: number): Promise<Lane[]>
    release(processor: string, lanes: number[]): Promise<void>
  }
  end(): Promise<void>
}

/** JSON columns parsed. */
export interface CommandShown {
  status: string
  acknowledgedAt: number | null
  progress: unknown
  ended: boolean
  code: string | null
  late: unknown
}

export interface UpdateSince {
  status?: string
  told?: boolean
  ended?: boolean
  code?: string | null
}

/** JSON columns parsed. */
export interface UpdateShown {
  status: string
  answeredAt: number | null
  /** Epoch ms. */
  statusAt: number
  progress: unknown
  ended: boolean
  code: string | null
  job: string | null
}

export function laneStoreSuite(name: string, setUp: () => Promise<LaneStoreUnderTest>): void {
  describe(`the lane store in ${name}`, () => {
    let under: LaneStoreUnderTest
    let store: LaneStore
    let incarnation: number
    let property: number
    let lane: Lane
    const now = Date.now()

    beforeAll(async () => {
      under = await setUp()
      store = under.store
      incarnation = await under.register('t-1')
      property = (await store.properties('demo', ['temperature'])).get('temperature')!
      lane = (await under.leases.claim('p', 16)).find((candidate) => candidate.lane === incarnation % 16)!
    })
    afterAll(() => under.end())

    const changes = (part: Partial<TickChanges>): TickChanges => ({ ...newWork([lane]).changes, ...part })
    const reading = (ts: number, value: Value, receivedAt = ts, messageId?: string) => ({
      incarnation,
      property,
      name: 'temperature',
      ts,
      value,
      receivedAt,
      ...(messageId === undefined ? {} : { messageId }),
    })
    const row = () => ({
      incarnation,
      lane: lane.lane,
      lastSeen: now,
      connection: '[5,1]',
      latest: '{"temperature":[1,2,3]}',
      pending: '{"since":1}',
      pendingSince: 1,
      urgent: true,
      sealed: '{"messages":1}',
      sealedSeq: 1,
      sealedAt: now,
      wake: '{"presence":"online","presenceTimeoutMs":60000}',
      clock: '{"status":"ok","driftMs":-120}',
      ruled: true,
      rules: 7,
      features: '{"hot":["1","change(temperature,1000)"]}',
      stated: true,
      featureStates: '[[1,2]]',
      featureValues: '[3]',
      dueAt: now + 60_000,
    })

    it('stores numbers exactly, other values as JSON, and times to the millisecond', async () => {
      const news = [reading(now, 0.1 + 0.2), reading(now + 1, 'öffnen\u0001'), reading(now + 2, -1e-300, now + 7, 'm-1')]
      await store.commit(changes({ news }))
      expect(await under.readings(incarnation)).toEqual([
        { ts: now, receivedAt: now, value: 0.1 + 0.2, messageId: null },
        { ts: now + 1, receivedAt: now + 1, value: 'öffnen\u0001', messageId: null },
        { ts: now + 2, receivedAt: now + 7, value: -1e-300, messageId: 'm-1' },
      ])
    })

    it('keeps of two readings of one moment the one with the greater receipt and id, in whatever order they come', async () => {
      const at = now + 100
      await store.commit(changes({ news: [reading(at, 1, at + 5, 'b')] }))
      await store.commit(changes({ late: [reading(at, 2, at + 4, 'z'), reading(at, 3, at + 5, 'a'), reading(at, 6, at + 5, 'B')] }))
      expect((await under.readings(incarnation)).at(-1)).toMatchObject({ value: 1, messageId: 'b' })
      await store.commit(changes({ late: [reading(at, 4, at + 6), reading(at, 5, at + 5, 'c')] }))
      expect((await under.readings(incarnation)).at(-1)).toMatchObject({ value: 4, messageId: null, receivedAt: at + 6 })
    })

    it('refuses as news what is there already', async () => {
      const failure = await store.commit(changes({ news: [reading(now, 9)] })).catch((error: unknown) => error)
      expect(store.isTransient(failure)).toBe(false)
      expect((await under.readings(incarnation))[0]).toMatchObject({ value: 0.1 + 0.2 })
    })

    it('writes inbox rows, new and known, and reads back what it wrote', async () => {
      await store.commit(changes({ inboxes: [{ ...row(), full: true }] }))
      const [loaded] = await store.devices([incarnation])
      const { sealed, pending, wake, clock, rules, features, featureStates, featureValues } = row()
      expect(loaded!.inbox).toMatchObject({ sealed, pending, connection: '[5,1]', wake, clock, lastSeen: now, rules })
      expect(loaded!.inbox).toMatchObject({ features, featureStates, featureValues })
      expect(await store.connectedThrough(1, [lane.lane])).toEqual([incarnation])
      expect(await store.connectedThrough(2, [lane.lane])).toEqual([])

      const none = { pending: null, pendingSince: null, urgent: false, connection: null, sealed: null, clock: null }
      const unchanged = { wake: '', full: false, ruled: false, rules: 9, features: null, stated: false, featureStates: null }
      const inbox = { ...row(), ...none, ...unchanged, latest: '{}', featureValues: '[4]', dueAt: now + 5 }
      await store.commit(changes({ inboxes: [inbox] }))
      const [again] = await store.devices([incarnation])
      expect(again!.inbox).toMatchObject({
        sealed,
        sealedSeq: 1,
        pending: null,
        connection: null,
        latest: '{}',
        wake,
        clock,
        rules,
        features,
        featureStates,
        featureValues: '[4]',
      })
      const devices = []
      for await (const chunk of store.laneDevices([lane.lane])) devices.push(...chunk)
      expect(devices).toEqual([
        {
          incarnation,
          tenant: 'demo',
          lastSeen: now,
          connected: false,
          urgent: false,
          presence: 'online',
          presenceTimeoutMs: 60000,
          pendingSince: null,
          sealedSeq: 1,
          sealedAt: now,
          dueAt: now + 5,
        },
      ])
    })

    it('is nothing at all when the lane has another owner, or was moved by a commit of unknown outcome', async () => {
      const before = (await under.readings(incarnation)).length
      const stale = { ...lane, epoch: lane.epoch - 1 }
      await expect(store.commit({ ...changes({ news: [reading(now + 500, 1)] }), lanes: [stale] })).rejects.toBeInstanceOf(LeaseLost)

      const moved = { ...lane, cursors: { '1': 7, '2': FINISHED }, watermark: now, graceSince: now - 1 }
      await store.commit({ ...changes({}), lanes: [moved] })
      await expect(store.commit({ ...changes({ news: [reading(now + 600, 1)] }), lanes: [moved] })).rejects.toBeInstanceOf(LeaseLost)
      expect((await under.readings(incarnation)).length).toBe(before)
      const [current] = await store.lanes([lane.lane])
      const { cursors, watermark, graceSince } = moved
      expect(current).toMatchObject({ cursors, watermark, graceSince, epoch: lane.epoch })
      lane = current!
    })

    it('leaves nothing behind when it is only tried', async () => {
      const before = (await under.readings(incarnation)).length
      await store.commit(changes({ news: [reading(now + 700, 1)] }), true)
      expect((await under.readings(incarnation)).length).toBe(before)
    })

    it('stores dead letters with their bytes, ids that are known afterwards, words for devices, and takes answers', async () => {
      const digest = '00000000-0000-4000-8000-000000000001'
      await under.answer(incarnation, 1)
      const [answer] = await store.answers([lane.lane], 10)
      expect(answer).toMatchObject({ incarnation, seq: 1 })
      const of = { at: now, tenant: 'demo', device: 't-1', incarnation, topic: 't', path: null, messageId: null }
      const letter = { ...of, reason: 'invalid-json', detail: 'd', size: 3, raw: Uint8Array.of(0, 255, 34) }
      await store.commit(
        changes({
          deadLetters: [letter],
          messageIds: [{ incarnation, digest, seenAt: now }],
          errors: [{ stream: 1, incarnation, body: '{}' }],
          answers: [answer!.id],
        }),
      )
      expect(await under.deadLetters(incarnation)).toEqual([{ reason: 'invalid-json', raw: [0, 255, 34] }])
      const asked = [incarnation, incarnation + 1].map((of) => ({ incarnation: of, digest }))
      expect(await store.knownMessages(asked)).toEqual(new Set([`${incarnation} ${digest}`]))
      expect(await store.answers([lane.lane], 10)).toEqual([])
    })

    it('fails for what no time will heal in another way than for what passes', async () => {
      const bad = changes({ messageIds: [{ incarnation, digest: 'no uuid', seenAt: now }] })
      expect(store.isTransient(await store.commit(bad).catch((error: unknown) => error))).toBe(false)
      expect(store.isTransient(Object.assign(new Error(), { code: 'CONNECTION_CLOSED' }))).toBe(true)
    })

    it('reads the entries of its lanes and all heartbeats, in order, and says by their number that there are more', async () => {
      const stream = await under.openStream()
      const entry = (seq: number, of: number) => ({ stream, seq, lane: of, at: now + seq, heads: `[${seq}]`, body: Buffer.from([seq]) })
      const other = (lane.lane + 1) % 16
      for (const [seq, of] of [lane.lane, other, HEARTBEAT_LANE, lane.lane].entries()) await under.append(entry(seq + 1, of))
      const read = (after: number, limit: number) => store.read(stream, after, [lane.lane], limit)
      expect((await read(0, 10)).map(({ seq }) => seq)).toEqual([1, 3, 4])
      expect((await read(0, 2)).map(({ seq }) => seq)).toEqual([1, 3])
      const [last] = await read(3, 10)
      expect({ ...last, body: [...last!.body] }).toEqual({ stream, seq: 4, lane: lane.lane, at: now + 4, heads: '[4]', body: [4] })
      expect(await store.streams()).toContainEqual({ stream, closed: false })
    })

    const id = (n: number) => `0000000c-0000-4000-8000-${String(n).padStart(12, '0')}`

    it('tells of a command whether it is open, to its own device alone', async () => {
      const other = await under.register('t-2')
      await under.command(id(1), incarnation)
      await under.command(id(2), incarnation, { status: 'expired', ended: true })
      const asked = [incarnation, other].flatMap((of) => [1, 1, 2, 3].map((n) => ({ incarnation: of, id: id(n) })))
      expect(await store.commands(asked)).toEqual(
        new Map([
          [`${incarnation} ${id(1)}`, { name: 'identify', status: 'queued', code: null, open: true }],
          [`${incarnation} ${id(2)}`, { name: 'identify', status: 'expired', code: null, open: false }],
        ]),
      )
    })

    it('notes how far a device has come with its commands: only forward, and not after the end', async () => {
      const news = (n: number, status: 'acknowledged' | 'running', progress: unknown = null, at = now) => ({
        id: id(n),
        status,
        progress: progress === null ? null : JSON.stringify(progress),
        at,
      })
      await under.command(id(11), incarnation, { status: 'sent', ended: false })
      await under.command(id(12), incarnation)
      await under.command(id(13), incarnation, { status: 'cancelled', ended: true })
      await store.commit(changes({ commandNews: [news(11, 'acknowledged'), news(12, 'running', { step: 1 }), news(13, 'running')] }))
      expect(await under.commandOf(id(11))).toMatchObject({ status: 'acknowledged', acknowledgedAt: now, progress: null })
      expect(await under.commandOf(id(12))).toMatchObject({ status: 'running', acknowledgedAt: now, progress: { step: 1 } })
      expect(await under.commandOf(id(13))).toMatchObject({ status: 'cancelled', acknowledgedAt: null })
      await store.commit(changes({ commandNews: [news(11, 'running', 50, now + 5), news(12, 'acknowledged', null, now + 5)] }))
      expect(await under.commandOf(id(11))).toMatchObject({ status: 'running', acknowledgedAt: now, progress: 50 })
      expect(await under.commandOf(id(12))).toMatchObject({ status: 'running', acknowledgedAt: now, progress: { step: 1 } })
    })

    it('keeps the first ten words that came after the end of a command', async () => {
      await under.command(id(21), incarnation, { status: 'expired', ended: true })
      await under.command(id(22), incarnation, { status: 'expired', ended: true })
      const late = (n: number, of = 21) => ({ id: id(of), answer: JSON.stringify({ at: n, status: 'succeeded', output: 'ä"]' }) })
      const kept = (...numbers: number[]) => numbers.map((n) => ({ at: n, status: 'succeeded', output: 'ä"]' }))
      await store.commit(changes({ commandLate: [late(1), late(2), late(3, 22)] }))
      expect(await under.commandOf(id(21))).toMatchObject({ status: 'expired', late: kept(1, 2) })
      expect(await under.commandOf(id(22))).toMatchObject({ late: kept(3) })
      await store.commit(changes({ commandLate: Array.from({ length: 12 }, (_, n) => late(n + 3)) }))
      await store.commit(changes({ commandLate: [late(99)] }))
      expect(await under.commandOf(id(21))).toMatchObject({ late: kept(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) })
    })

    it('tells of an update whether it is open and was told, to its own device alone', async () => {
      const other = await under.register('t-4')
      await under.update(id(51), incarnation)
      await under.update(id(52), incarnation, { status: 'installing', told: true, code: 'no-space' })
      await under.update(id(53), incarnation, { status: 'failed', told: true, ended: true, code: 'jammed' })
      const asked = [incarnation, other].flatMap((of) => [51, 51, 52, 53, 54].map((n) => ({ incarnation: of, id: id(n) })))
      expect(await store.updates(asked)).toEqual(
        new Map([
          [`${incarnation} ${id(51)}`, { status: 'scheduled', code: null, open: true, told: false }],
          [`${incarnation} ${id(52)}`, { status: 'installing', code: 'no-space', open: true, told: true }],
          [`${incarnation} ${id(53)}`, { status: 'failed', code: 'jammed', open: false, told: true }],
        ]),
      )
    })

    it('notes how far a device has come with its updates: only forward, with the progress of that step', async () => {
      const news = (n: number, status: UpdateNews['status'], progress: unknown = null, at = now) => ({
        id: id(n),
        status,
        progress: progress === null ? null : JSON.stringify(progress),
        at,
      })
      await under.update(id(61), incarnation, { status: 'notified', told: true })
      await under.update(id(62), incarnation, { status: 'scheduled', told: true })
      await under.update(id(63), incarnation, { status: 'notified', told: true })
      await store.commit(changes({ updateNews: [news(61, 'downloading', 10), news(62, 'installing', { step: 1 }), news(63, null)] }))
      expect(await under.updateOf(id(61))).toMatchObject({ status: 'downloading', answeredAt: now, statusAt: now, progress: 10 })
      expect(await under.updateOf(id(62))).toMatchObject({ status: 'installing', answeredAt: now, progress: { step: 1 }, ended: false })
      expect(await under.updateOf(id(63))).toMatchObject({ status: 'notified', answeredAt: now, progress: null })

      const later = [news(61, 'downloading', null, now + 5), news(62, 'verifying', 9, now + 5), news(63, 'rebooting', null, now + 5)]
      await store.commit(changes({ updateNews: later }))
      expect(await under.updateOf(id(61))).toMatchObject({ status: 'downloading', answeredAt: now, statusAt: now, progress: 10 })
      expect(await under.updateOf(id(62))).toMatchObject({ status: 'installing', statusAt: now, progress: { step: 1 } })
      expect(await under.updateOf(id(63))).toMatchObject({ status: 'rebooting', answeredAt: now, statusAt: now + 5, progress: null })

      await store.commit(changes({ updateNews: [news(61, 'verifying', null, now + 9), news(62, 'installing', 50, now + 9)] }))
      expect(await under.updateOf(id(61))).toMatchObject({ status: 'verifying', statusAt: now + 9, progress: null })
      expect(await under.updateOf(id(62))).toMatchObject({ status: 'installing', statusAt: now, progress: 50 })
    })

    it('notes nothing of an update that soaks, has ended, or that nobody was told of', async () => {
      await under.update(id(71), incarnation, { status: 'soaking', told: true })
      await under.update(id(72), incarnation, { status: 'cancelled', told: true, ended: true, code: 'cancelled' })
      await under.update(id(73), incarnation, { status: 'scheduled' })
      const said = [71, 72, 73].map((n) => ({ id: id(n), status: 'rebooting' as const, progress: '1', at: now }))
      await store.commit(changes({ updateNews: said }))
      const unchanged = { answeredAt: null, progress: null }
      expect(await under.updateOf(id(71))).toMatchObject({ status: 'soaking', ended: false, ...unchanged })
      expect(await under.updateOf(id(72))).toMatchObject({ status: 'cancelled', ended: true, code: 'cancelled', ...unchanged })
      expect(await under.updateOf(id(73))).toMatchObject({ status: 'scheduled', ended: false, ...unchanged })
    })

    it('reads requests with their bodies, oldest first, and answers those that are not understood', async () => {
      await under.request(id(31), incarnation, 'wish', '{"patch": {"a": 1}, "by": "admin"}')
      await under.request(id(32), incarnation, 'unheard-of')
      const requests = await store.requests([lane.lane], 10)
      expect(requests.map(({ body, ...request }) => ({ ...request, body: JSON.parse(body) }))).toEqual([
        { id: id(31), incarnation, lane: lane.lane, kind: 'wish', body: { patch: { a: 1 }, by: 'admin' } },
        { id: id(32), incarnation, lane: lane.lane, kind: 'unheard-of', body: {} },
      ])
      await store.commit(changes({ refusedRequests: [id(32)], requests: [{ id: id(31), seq: 2 }] }))
      expect(await under.answerOf(id(32))).toBe('{"refused":"unknown-kind"}')
      expect(await under.answerOf(id(31))).toBeNull()
      expect(await store.requests([lane.lane], 10)).toEqual([])
    })

    it('ends an update whose request is not understood: no twin will', async () => {
      await under.request(id(33), incarnation, 'update')
      await under.update(id(33), incarnation)
      await under.request(id(34), incarnation, 'update')
      await under.update(id(34), incarnation, { status: 'failed', ended: true, code: 'jammed' })
      await under.request(id(35), incarnation, 'cancel-update')
      await under.update(id(35), incarnation)
      await under.update(id(36), incarnation)
      const refusedRequests = [id(33), id(34), id(35), id(37)]
      await store.commit(changes({ refusedRequests }))
      expect(await under.answerOf(id(33))).toBe('{"refused":"unknown-kind"}')
      expect(await under.updateOf(id(33))).toMatchObject({ status: 'skipped', ended: true, code: 'unknown-kind', job: null })
      expect(await under.updateOf(id(34))).toMatchObject({ status: 'failed', ended: true, code: 'jammed' })
      for (const n of [35, 36]) expect(await under.updateOf(id(n))).toMatchObject({ status: 'scheduled', ended: false, code: null })
    })

    it('ends the open commands and updates of a removed device, and forgets what it was wished', async () => {
      const gone = await under.register('t-3')
      for (const of of [gone, incarnation]) await under.wish(of)
      await under.command(id(41), gone, { status: 'running', ended: false })
      await under.command(id(42), gone, { status: 'succeeded', ended: true })
      await under.command(id(43), incarnation)
      await under.update(id(44), gone, { status: 'installing', told: true, code: 'no-space' })
      await under.update(id(45), gone, { status: 'failed', ended: true, code: 'jammed' })
      await under.update(id(46), incarnation, { status: 'soaking' })
      await under.remove(gone)
      await store.commit(changes({ removed: [gone] }))
      expect(await under.commandOf(id(41))).toMatchObject({ status: 'cancelled', ended: true, code: 'device-removed' })
      expect(await under.commandOf(id(42))).toMatchObject({ status: 'succeeded', ended: true, code: null })
      expect(await under.commandOf(id(43))).toMatchObject({ status: 'queued', ended: false })
      expect(await under.updateOf(id(44))).toMatchObject({ status: 'cancelled', ended: true, code: 'device-removed', job: null })
      expect(await under.updateOf(id(45))).toMatchObject({ status: 'failed', ended: true, code: 'jammed' })
      expect(await under.updateOf(id(46))).toMatchObject({ status: 'soaking', ended: false, code: null, job: '{}' })
      expect([await under.hasWish(gone), await under.hasWish(incarnation)]).toEqual([false, true])
    })

    it('clears the open alarms of a removed device', async () => {
      const gone = await under.register('t-alarmed')
      await under.alarms(gone, alarmRow(), alarmRow({ n: 2, ...clearedAt(now) }), alarmRow({ n: 3, status: 'acknowledged' }))
      await under.alarms(incarnation, alarmRow())
      await under.remove(gone)
      await store.commit(changes({ removed: [gone] }))
      await store.commit(changes({ removed: [gone] }))
      expect(await under.alarmsOf(gone)).toEqual([
        { n: 1, status: 'cleared', clearReason: 'removed', ended: true },
        { n: 2, status: 'cleared', clearReason: 'rule', ended: true },
        { n: 3, status: 'cleared', clearReason: 'removed', ended: true },
      ])
      expect(await under.alarmsOf(incarnation)).toEqual([{ n: 1, status: 'raised', clearReason: null, ended: false }])
    })

    it('seals requests once, and answers those of a removed device, of which nothing is left', async () => {
      const ids = [1, 2].map((n) => `00000000-0000-4000-8000-00000000000${n}`)
      for (const id of ids) await under.request(id, incarnation)
      expect((await store.requests([lane.lane], 10)).map(({ id }) => id)).toEqual(ids)
      await store.commit(changes({ requests: [{ id: ids[0]!, seq: 2 }] }))
      expect((await store.requests([lane.lane], 10)).map(({ id }) => id)).toEqual([ids[1]])

      await under.answer(incarnation, 1)
      await under.remove(incarnation)
      expect(await store.removed([lane.lane], 10)).toEqual([{ incarnation, tenant: 'demo', device: 't-1' }])
      await store.commit(changes({ removed: [incarnation] }))
      for (const id of ids) expect(await under.answerOf(id)).toBe('{"removed":true}')
      expect(await store.answers([lane.lane], 10)).toEqual([])
      expect(await store.devices([incarnation])).toEqual([])
      await store.commit(changes({ inboxes: [{ ...row(), full: false }] }))
      for await (const chunk of store.laneDevices([lane.lane])) expect(chunk).toEqual([])
      await store.removalTold(incarnation)
      expect(await store.removed([lane.lane], 10)).toEqual([])
    })

    it('shares the lanes evenly among the processors that live', async () => {
      expect(await under.leases.share('p')).toBe(16)
      await under.leases.share('q')
      expect(await under.leases.share('p')).toBe(8)
    })

    it('gives lanes to another processor only when given back or run out, with a higher epoch', async () => {
      expect(await under.leases.claim('q', 16)).toEqual([])
      await under.leases.release('p', [3])
      const [taken] = await under.leases.claim('q', 16)
      expect(taken).toMatchObject({ lane: 3, epoch: 2 })
      expect(await under.leases.renew('p')).toHaveLength(15)
    })
  })
}
