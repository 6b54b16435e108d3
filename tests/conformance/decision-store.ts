/** What every decision store must do, whatever it is made of. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Decision, DecisionStore } from '../../activities/ports.ts'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinInput, TwinSettings, TwinState } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
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
      const none = { released: [], ended: [], late: [] }
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
      const effects = { released: [theirs], ended: [{ id: theirs, status: 'failed' as const, tell: false }], late: [] }
      await under.store.write({ ...decisionOf(key, initialState(), 1, first), effects })
      expect(await under.commandOf(theirs)).toMatchObject({ status: 'queued', released: false, ended: false })
    })

    test('what is outstanding stands beside the decision, and a new version is sent anew', async () => {
      const none = { released: [], ended: [], late: [] }
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

    test('the twin is told which of its open commands were sent', async () => {
      const sent = await under.command(key, { sent: true })
      await under.command(key)
      expect(await under.store.sentCommands(key)).toEqual([sent])
      await under.remove(key)
      expect(await under.store.sentCommands(key)).toBeNull()
    })
  })
}
