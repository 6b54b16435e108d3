/** What every decision store must do, whatever it is made of. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Decision, DecisionStore } from '../../activities/ports.ts'
import type { AlarmChange } from '../../twin-models/core/alarm-effects.ts'
import { consume } from '../../twin-models/core/consume.ts'
import type { UpdateChange, UpdateRelease } from '../../twin-models/core/effects.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinInput, TwinSettings, TwinState } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import type { Envelope } from '../../twin-models/firmware/envelope.ts'
import type { TwinKey } from '../../twin-models/ids.ts'

export interface StoreUnderTest {
  store: DecisionStore
  /** A fresh device, at revision 0. */
  register(): Promise<TwinKey>
  remove(key: TwinKey): Promise<void>
  /** Answers of the device, oldest first. */
  answers(key: TwinKey): Promise<Array<{ lane: number; seq: number; wake: unknown }>>
  history(key: TwinKey): Promise<Array<{ revision: number; n: number; kind: string; event: unknown; cause: unknown }>>
  /** An open request of this device; returns its id. */
  request(key: TwinKey): Promise<string>
  answerOf(request: string): Promise<unknown>
  /** Revision, seal and the decided part as stored. */
  row(key: TwinKey): Promise<{ revision: number; seq: number; decided: unknown } | undefined>
  /** A queued command, as REST writes it; `sent` as a bridge leaves it. */
  command(key: TwinKey, options?: { sent?: boolean }): Promise<string>
  commandOf(id: string): Promise<CommandShown>
  wish(key: TwinKey): Promise<WishShown | undefined>
  /** As a bridge does it after sending. */
  wishSent(key: TwinKey): Promise<void>
  /** A scheduled update, as REST writes it. */
  update(key: TwinKey): Promise<string>
  updateOf(id: string): Promise<UpdateShown>
  /** As a bridge leaves it after sending, and the processor after the device's first word (3,000 s) and a goodbye that its twin was not told of yet (4,000 s). */
  updateHeard(id: string): Promise<void>
  /** Of the device, in their order. */
  alarms(key: TwinKey): Promise<AlarmShown[]>
}

export const settings: TwinSettings = {
  model: 'thermostat',
  modelVersion: '1.0.0',
  presenceTimeoutMs: 60_000,
  ranges: { temperature: { minimum: 5, maximum: 40, hysteresis: 1 } },
}

/** The decision of a twin of that state on these inputs. */
export function decisionOf(key: TwinKey, from: TwinState, seq: number, inputs: TwinInput[]): Decision {
  const { state, events, answers, effects } = consume(from, { seq, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
  return { ...key, expectedRevision: from.revision, seq, state, events, wake: wakeOf(state), answers, ...(effects ? { effects } : {}) }
}

/** It waits for a twin that takes its device for online. */
export const GOODBYE = {
  pending: JSON.stringify({ inputs: [{ kind: 'hello', at: 4_000_000, status: 'offline' }] }),
  wake: '{"presence":"online"}',
}

/** A row of `commands` or of `wishes`, as far as it is decided. JSON columns parsed. */
export interface CommandShown {
  status: string
  released: boolean
  ended: boolean
  output: unknown
  code: string | null
  tell: boolean
  late: unknown
}
export interface WishShown {
  version: number
  body: unknown
  answered: boolean
  retryMs: number
  attempts: number
}

/** A row of `updates`, as far as it is decided, or reset by decisions. */
export interface UpdateShown {
  status: string
  attempt: number
  job: Envelope | null
  link: string | null
  /** Epoch ms. */
  until: number | null
  linkUntil: number | null
  sends: number
  sent: boolean
  answered: boolean
  progress: unknown
  ended: boolean
  code: string | null
  message: string | null
  tell: boolean
  from: [version: string | null, sha256: string | null]
}

/** A row of `alarms`. */
export type AlarmShown = AlarmChange & TwinKey

export function decisionStoreSuite(name: string, setUp: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let under: StoreUnderTest
    let key: TwinKey
    const first: TwinInput[] = [
      { kind: 'configured', at: 1_000, settings },
      { kind: 'life', at: 1_000, messageId: 'm-1' },
    ]
    const hot: TwinInput = { kind: 'reading', at: 2_000, name: 'temperature', value: 50, ts: 2_000 }

    beforeEach(async () => {
      under = await setUp()
      key = await under.register()
    })

    test('a decision becomes true as a whole: revision, seal, decided part, history, answer', async () => {
      const decision = decisionOf(key, initialState(), 1, first)
      expect(await under.store.write(decision)).toEqual({ outcome: 'written' })
      expect(await under.row(key)).toEqual({
        revision: 1,
        seq: 1,
        decided: { presence: { status: 'online', since: '1970-01-01T00:00:01.000Z', reason: 'message' } },
      })
      expect(await under.history(key)).toMatchObject([
        { revision: 1, n: 1, kind: 'configured', cause: { by: 'lane' } },
        {
          revision: 1,
          n: 2,
          kind: 'presence-changed',
          event: { before: 'never', after: 'online' },
          cause: { by: 'message', messageId: 'm-1' },
        },
      ])
      expect(await under.answers(key)).toEqual([{ lane: key.incarnation % 16, seq: 1, wake: decision.wake }])
    })

    test('a decision without events raises the revision and answers its seal', async () => {
      const one = decisionOf(key, initialState(), 1, first)
      await under.store.write(one)
      expect(await under.store.write(decisionOf(key, one.state, 2, []))).toEqual({ outcome: 'written' })
      expect(await under.row(key)).toMatchObject({ revision: 2, seq: 2 })
      expect(await under.history(key)).toHaveLength(2)
      expect((await under.answers(key)).map(({ seq }) => seq)).toEqual([1, 2])
    })

    test('the same decision twice is written once, and the seal is answered again', async () => {
      const decision = decisionOf(key, initialState(), 1, first)
      await under.store.write(decision)
      expect(await under.store.write(decision)).toEqual({ outcome: 'ahead', state: decision.state })
      expect(await under.row(key)).toMatchObject({ revision: 1, seq: 1 })
      expect(await under.history(key)).toHaveLength(2)
      expect(await under.answers(key)).toMatchObject([{ seq: 1 }, { seq: 1, wake: decision.wake }])
    })

    test('who is behind gets the stored state, and the newest seal decided on is answered with its own wake conditions', async () => {
      const one = decisionOf(key, initialState(), 1, first)
      const two = decisionOf(key, one.state, 2, [hot])
      await under.store.write(one)
      await under.store.write(two)
      expect(await under.store.write(decisionOf(key, initialState(), 3, first))).toEqual({ outcome: 'ahead', state: two.state })
      expect((await under.answers(key)).at(-1)).toMatchObject({ seq: 2, wake: two.wake })
    })

    test('who is ahead of a store that was set back is sent to where it stands', async () => {
      const one = decisionOf(key, initialState(), 1, first)
      const two = decisionOf(key, one.state, 2, [hot])
      expect(await under.store.write(two)).toEqual({ outcome: 'ahead', state: null })
      await under.store.write(one)
      const three = decisionOf(key, two.state, 3, [])
      expect(await under.store.write(three)).toEqual({ outcome: 'ahead', state: one.state })
    })

    test('of many who write at once from the same revision exactly one does', async () => {
      const decision = decisionOf(key, initialState(), 1, first)
      const outcomes = await Promise.all(Array.from({ length: 8 }, () => under.store.write(decision)))
      expect(outcomes.filter(({ outcome }) => outcome === 'written')).toHaveLength(1)
      expect(outcomes.filter(({ outcome }) => outcome === 'ahead')).toHaveLength(7)
      expect(await under.row(key)).toMatchObject({ revision: 1 })
      expect(await under.history(key)).toHaveLength(2)
    })

    test('a removed device is gone, and so is one of another tenant, name or registration', async () => {
      const decision = decisionOf(key, initialState(), 1, first)
      expect(await under.store.write({ ...decision, tenant: 'other' })).toEqual({ outcome: 'gone' })
      expect(await under.store.write({ ...decision, device: 'other' })).toEqual({ outcome: 'gone' })
      expect(await under.store.write({ ...decision, incarnation: 2_000_000_000 })).toEqual({ outcome: 'gone' })
      await under.remove(key)
      expect(await under.store.write(decision)).toEqual({ outcome: 'gone' })
      expect(await under.store.confirm(key, 0)).toEqual({ outcome: 'gone' })
      expect(await under.store.lastSeen(key)).toBeNull()
      expect(await under.answers(key)).toEqual([])
    })

    test('a seal that comes again after its decision is answered again', async () => {
      const decision = decisionOf(key, initialState(), 1, first)
      await under.store.write(decision)
      expect(await under.store.confirm(key, 1)).toEqual({ outcome: 'written' })
      expect(await under.answers(key)).toMatchObject([{ seq: 1 }, { seq: 1, wake: decision.wake }])
      expect(await under.store.confirm(key, 5)).toEqual({ outcome: 'ahead', state: decision.state })
    })

    test('requests are answered in the same transaction, once, and only those of this device', async () => {
      const other = await under.register()
      const [mine, theirs] = [await under.request(key), await under.request(other)]
      const deliver = (request: string): TwinInput => ({ kind: 'deliver', at: 1_000, request })
      const decision = decisionOf(key, initialState(), 1, [...first, deliver(mine), deliver(theirs)])
      await under.store.write(decision)
      expect(await under.answerOf(mine)).toEqual({ revision: 1, seq: 1 })
      expect(await under.answerOf(theirs)).toBeUndefined()
      await under.store.write(decisionOf(key, decision.state, 2, [deliver(mine)]))
      expect(await under.answerOf(mine)).toEqual({ revision: 1, seq: 1 })
    })

    test('text that no JSON column holds is stored all the same', async () => {
      const hello: TwinInput = { kind: 'hello', at: 1_000, status: 'online', firmware: { version: 'a\u0000b\ud800 \\u0000' } }
      const event: TwinInput = { kind: 'event', at: 1_000, name: 'e', ts: 1_000, data: { text: 'x\u0000\udfff' } }
      const decision = decisionOf(key, initialState(), 1, [...first, hello, event])
      expect(await under.store.write(decision)).toEqual({ outcome: 'written' })
      expect(await under.row(key)).toMatchObject({ decided: { firmware: { version: 'a\ufffdb\ufffd \\u0000' } } })
      expect((await under.history(key)).at(-1)).toMatchObject({ event: { data: { text: 'x\u0000\udfff' } } })
    })

    test('commands are let go and ended with the decision, once, and what comes after the end is kept as late', async () => {
      const [sent, unsent] = [await under.command(key, { sent: true }), await under.command(key)]
      const none = { released: [], ended: [], late: [], updates: [], alarms: [] }
      const one = { ...decisionOf(key, initialState(), 1, first), effects: { ...none, released: [unsent] } }
      await under.store.write(one)
      expect(await under.commandOf(unsent)).toMatchObject({ status: 'queued', released: true, ended: false })
      const ended = [
        { id: sent, status: 'succeeded' as const, output: { ok: 1 }, tell: true },
        { id: unsent, status: 'cancelled' as const, code: 'cancelled', tell: true },
      ]
      const two = { ...decisionOf(key, one.state, 2, []), effects: { ...none, ended } }
      await under.store.write(two)
      expect(await under.commandOf(sent)).toMatchObject({ status: 'succeeded', output: { ok: 1 }, ended: true, tell: true, late: null })
      expect(await under.commandOf(unsent)).toMatchObject({ status: 'cancelled', code: 'cancelled', ended: true, tell: false })
      const again = [{ id: sent, status: 'expired' as const, tell: false }]
      const late = [{ id: sent, at: 5, status: 'failed' as const, code: 'jammed' }]
      await under.store.write({ ...decisionOf(key, two.state, 3, []), effects: { ...none, ended: again, late: [...late, ...late] } })
      expect(await under.commandOf(sent)).toMatchObject({
        status: 'succeeded',
        late: [
          { at: 5, status: 'failed', code: 'jammed' },
          { at: 5, status: 'failed', code: 'jammed' },
        ],
      })
    })

    test('of another device no command is touched', async () => {
      const theirs = await under.command(await under.register())
      const effects = {
        released: [theirs],
        ended: [{ id: theirs, status: 'failed' as const, tell: false }],
        late: [],
        updates: [],
        alarms: [],
      }
      await under.store.write({ ...decisionOf(key, initialState(), 1, first), effects })
      expect(await under.commandOf(theirs)).toMatchObject({ status: 'queued', released: false, ended: false })
    })

    test('what is outstanding stands beside the decision, and a new version is sent anew', async () => {
      const none = { released: [], ended: [], late: [], updates: [], alarms: [] }
      const wish = { version: 1, body: { version: 1, state: { a: 1, b: 2 } }, answered: false, retryMs: 5_000 }
      const one = { ...decisionOf(key, initialState(), 1, first), effects: { ...none, wish } }
      await under.store.write(one)
      expect(await under.wish(key)).toEqual({
        version: 1,
        body: { version: 1, state: { a: 1, b: 2 } },
        answered: false,
        retryMs: 5_000,
        attempts: 0,
      })
      await under.wishSent(key)
      const less = { ...wish, body: { version: 1, state: { b: 2 } }, answered: true }
      const two = { ...decisionOf(key, one.state, 2, []), effects: { ...none, wish: less } }
      await under.store.write(two)
      expect(await under.wish(key)).toMatchObject({ body: { state: { b: 2 } }, answered: true, attempts: 1 })
      await under.store.write({ ...decisionOf(key, two.state, 3, []), effects: { ...none, wish: { ...wish, version: 2, body: null } } })
      expect(await under.wish(key)).toMatchObject({ version: 2, body: null, answered: false, attempts: 0 })
    })

    describe('of updates', () => {
      /** The change, as the decision after `before` makes it. */
      const decide = async (before: TwinState | undefined, ...updates: UpdateChange[]): Promise<TwinState> => {
        const decision = before ? decisionOf(key, before, before.revision + 1, []) : decisionOf(key, initialState(), 1, first)
        const effects = { released: [], ended: [], late: [], updates, alarms: [] }
        expect(await under.store.write({ ...decision, effects })).toEqual({ outcome: 'written' })
        return decision.state
      }
      const until = Date.UTC(2030, 0, 2)
      const release = (id: string, attempt = 1): UpdateRelease => {
        const firmware = { version: '2.0.0', sha256: 'a'.repeat(64) }
        return { id, attempt, kind: 'install', firmware, until, linkUntil: until + 600_000 }
      }
      const untold = { job: null, link: null, sends: 0, sent: false, answered: false, progress: null }

      test('one that is let go has a job for this device, signed, and a link of its own', async () => {
        const id = await under.update(key)
        expect(await under.updateOf(id)).toMatchObject({ status: 'scheduled', attempt: 0, ...untold, from: [null, null] })
        const change = { id, attempt: 1, release: release(id), from: { version: '1.0.0', sha256: 'b'.repeat(64) } }
        await decide(undefined, change)
        const row = await under.updateOf(id)
        expect(row).toMatchObject({ status: 'scheduled', attempt: 1, until, linkUntil: until + 600_000, from: ['1.0.0', 'b'.repeat(64)] })
        expect(row).toMatchObject({ sent: false, ended: false, tell: false, link: expect.stringMatching(/^[\w-]{43}$/) })
        expect(JSON.parse(Buffer.from(row.job!.payload, 'base64').toString())).toEqual({
          ...{ type: 'update-job', update: id, tenant: key.tenant, device: key.device, registration: key.incarnation },
          ...{ attempt: 1, nonce: expect.stringMatching(/^[\w-]{22}$/), kind: 'install', firmware: release(id).firmware },
          ...{ issued: expect.any(String), expires: '2030-01-02T00:00:00.000Z' },
        })
      })

      test('one that is put off is as if it had never been told, and its next attempt has another job and link', async () => {
        const id = await under.update(key)
        const one = await decide(undefined, { id, attempt: 1, release: release(id) })
        const before = await under.updateOf(id)
        await under.updateHeard(id)
        expect(await under.updateOf(id)).toMatchObject({ status: 'downloading', sent: true, sends: 2, answered: true, progress: 40 })
        expect(await under.store.sentUpdate(key, id)).toMatchObject({ sentAt: 1_000_000 })
        const failed = { status: 'scheduled' as const, attempt: 2, withdraw: true as const, code: 'download-failed', message: 'reset' }
        const two = await decide(one, { id, ...failed, from: { version: '1.0.0', sha256: 'b'.repeat(64) } })
        const waiting = { status: 'scheduled', attempt: 2, code: 'download-failed', message: 'reset', ended: false }
        expect(await under.updateOf(id)).toMatchObject({ ...waiting, ...untold })
        expect(await under.updateOf(id)).toMatchObject({ from: ['1.0.0', 'b'.repeat(64)] })
        expect(await under.store.sentUpdate(key, id)).toMatchObject({ sentAt: null })
        await decide(two, { id, attempt: 2, release: release(id, 2), from: { version: '1.1.0' } })
        const after = await under.updateOf(id)
        expect(after).toMatchObject({ ...waiting, sends: 0, sent: false, answered: false, from: ['1.1.0', null] })
        expect(after.link).not.toBe(before.link)
        expect(JSON.parse(Buffer.from(after.job!.payload, 'base64').toString())).toMatchObject({ attempt: 2 })
      })

      test('one that soaks is told to nobody any more, and what was known of it stays, but for how far its device was on the way', async () => {
        const id = await under.update(key)
        const one = await decide(undefined, { id, attempt: 1, release: release(id) })
        await under.updateHeard(id)
        const two = await decide(one, { id, status: 'soaking', withdraw: true })
        const soaking = {
          status: 'soaking',
          job: null,
          link: null,
          sent: true,
          sends: 2,
          answered: true,
          progress: null,
          ended: false,
          until,
        }
        expect(await under.updateOf(id)).toMatchObject(soaking)
        await decide(two, { id, status: 'healthy' })
        expect(await under.updateOf(id)).toMatchObject({ ...soaking, status: 'healthy', ended: true, tell: false, code: null })
      })

      test('one that ends otherwise keeps how far its device had come, one that is healthy at once does not', async () => {
        for (const [status, progress] of [
          ['failed', 40],
          ['healthy', null],
        ] as const) {
          const device = await under.register()
          const id = await under.update(device)
          await under.updateHeard(id)
          const decision = decisionOf(device, initialState(), 1, first)
          const effects = { released: [], ended: [], late: [], updates: [{ id, status }], alarms: [] }
          await under.store.write({ ...decision, effects })
          expect(await under.updateOf(id)).toMatchObject({ status, progress })
        }
      })

      test('the first end stays, and the device hears of it only where it had heard of the update', async () => {
        const [sent, unsent] = [await under.update(key), await under.update(key)]
        const one = await decide(undefined, { id: sent, release: release(sent) }, { id: unsent, release: release(unsent) })
        await under.updateHeard(sent)
        const end = { status: 'cancelled' as const, code: 'cancelled', message: 'by Ada', tell: true }
        const two = await decide(one, { id: sent, ...end }, { id: unsent, ...end })
        const over = { status: 'cancelled', code: 'cancelled', message: 'by Ada', ended: true, job: null, link: null }
        expect(await under.updateOf(sent)).toMatchObject({ ...over, tell: true })
        expect(await under.updateOf(unsent)).toMatchObject({ ...over, tell: false })
        await decide(two, { id: sent, status: 'failed', code: 'other' }, { id: unsent, attempt: 2, release: release(unsent, 2) })
        expect(await under.updateOf(sent)).toMatchObject(over)
        expect(await under.updateOf(unsent)).toMatchObject({ ...over, tell: false })
      })

      test('an attempt that failed before leaves no word on one that ends well', async () => {
        const id = await under.update(key)
        const one = await decide(undefined, { id, status: 'scheduled', attempt: 2, code: 'download-failed', message: 'reset' })
        await decide(one, { id, status: 'healthy' })
        expect(await under.updateOf(id)).toMatchObject({ status: 'healthy', attempt: 2, code: null, message: null })
      })

      test('that of another device is not touched, and nothing of a decision that is not written', async () => {
        const theirs = await under.update(await under.register())
        const mine = await under.update(key)
        const one = await decide(undefined, { id: theirs, status: 'failed', release: release(theirs) })
        expect(await under.updateOf(theirs)).toMatchObject({ status: 'scheduled', ...untold, ended: false })
        const late = { ...decisionOf(key, { ...one, revision: 7 }, 9, []) }
        const effects = { released: [], ended: [], late: [], updates: [{ id: mine, status: 'failed' as const }], alarms: [] }
        expect(await under.store.write({ ...late, effects })).toMatchObject({ outcome: 'ahead' })
        expect(await under.updateOf(mine)).toMatchObject({ status: 'scheduled', ended: false })
      })
    })

    describe('of alarms', () => {
      const raised: AlarmChange = {
        ...{ n: 1, rule: 'hot', version: 2, severity: 'major', status: 'raised', text: 'It has 50 °C', since: 1_001, raisedAt: 2_002 },
        ...{ updatedAt: 2_002, count: 1, flapping: false, muted: true, acknowledgedAt: null, acknowledgedBy: null, acknowledgedNote: null },
        ...{ shelvedUntil: null, assignee: null, clearedAt: null, clearReason: null, clearedBy: null, clearNote: null },
        values: { temperature: 50, mode: 'a\0b\ud800' },
      }
      const changed: AlarmChange = {
        ...{ ...raised, version: 3, severity: 'critical', status: 'acknowledged', text: 'It has 60 °C', updatedAt: 3_000, count: 2 },
        ...{ flapping: true, muted: false, acknowledgedAt: 2_500, acknowledgedBy: 'ann', acknowledgedNote: 'seen' },
        ...{ shelvedUntil: 1_900_000_000_000, assignee: 'bob', values: { temperature: 60 } },
      }
      const cleared: AlarmChange = {
        ...{
          ...changed,
          status: 'cleared',
          updatedAt: 4_000,
          clearedAt: 4_000,
          clearReason: 'person',
          clearedBy: 'bob',
          clearNote: 'done',
        },
      }
      const decide = async (before: TwinState | undefined, ...alarms: AlarmChange[]): Promise<TwinState> => {
        const decision = before ? decisionOf(key, before, before.revision + 1, []) : decisionOf(key, initialState(), 1, first)
        const effects = { released: [], ended: [], late: [], updates: [], alarms }
        expect(await under.store.write({ ...decision, effects })).toEqual({ outcome: 'written' })
        return decision.state
      }

      test('a row is made, and changed as a whole', async () => {
        const one = await decide(undefined, raised)
        expect(await under.alarms(key)).toEqual([{ ...key, ...raised }])
        const two = await decide(one, changed)
        expect(await under.alarms(key)).toEqual([{ ...key, ...changed }])
        await decide(two, cleared)
        expect(await under.alarms(key)).toEqual([{ ...key, ...cleared }])
      })

      test('several are made with one decision, also one that is cleared by it, and what is cleared stays so', async () => {
        const one = await decide(undefined, cleared, { ...raised, n: 2 }, { ...raised, n: 3, rule: 'other' })
        await decide(one, raised, { ...changed, n: 2 })
        expect(await under.alarms(key)).toEqual(
          [cleared, { ...changed, n: 2 }, { ...raised, n: 3, rule: 'other' }].map((row) => ({ ...key, ...row })),
        )
      })

      test('that of another device is not touched, and nothing of a decision that is not written', async () => {
        const one = await decide(undefined, raised)
        const theirs = await under.register()
        const effects = { released: [], ended: [], late: [], updates: [], alarms: [cleared] }
        expect(await under.store.write({ ...decisionOf(theirs, initialState(), 1, first), effects })).toEqual({ outcome: 'written' })
        expect(await under.store.write({ ...decisionOf(key, { ...one, revision: 7 }, 9, []), effects })).toMatchObject({ outcome: 'ahead' })
        expect(await under.alarms(key)).toEqual([{ ...key, ...raised }])
        expect(await under.alarms(theirs)).toEqual([{ ...theirs, ...cleared }])
      })
    })

    test('the twin is told how a row of its updates stands and when its device was first told, and that one which is none was told nobody', async () => {
      const [unsent, sent, theirs] = [await under.update(key), await under.update(key), await under.update(await under.register())]
      await under.updateHeard(sent)
      expect(await under.store.sentUpdate(key, sent)).toEqual({
        ...{ id: sent, sentAt: 1_000_000, status: 'downloading', statusAt: 3_000_000, lastSeenAt: 4_000_000, presence: 'offline' },
      })
      for (const id of [unsent, theirs, '00000000-0000-4000-8000-000000000000'])
        expect(await under.store.sentUpdate(key, id)).toMatchObject({ id, sentAt: null, status: 'scheduled' })
      await under.remove(key)
      expect(await under.store.sentUpdate(key, sent)).toBeNull()
    })

    test('the twin is told which of its open commands were sent', async () => {
      const sent = await under.command(key, { sent: true })
      await under.command(key)
      expect(await under.store.sentCommands(key)).toEqual([sent])
      await under.remove(key)
      expect(await under.store.sentCommands(key)).toBeNull()
    })
  })
}
