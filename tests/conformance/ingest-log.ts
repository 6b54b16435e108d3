/**
 * What every ingest log must hold, as a bridge writes it (docs/architecture.md §3.4): nothing lost, nothing twice, nothing out of order,
 * whatever happens to its answers.
 */
import fc from 'fast-check'
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommit } from '../../api/ingest/commit.ts'
import { type Commit, HEARTBEAT_LANE, type Head, type IngestLogStore, laneOf, type Message } from '../../api/ingest/log.ts'
import { openWriter, WRITER_LIMITS, type WriterOptions } from '../../api/ingest/writer.ts'
import type { StoredEntry } from '../support/memory-ingest-log.ts'
import { until } from '../support/wait.ts'

/** One log under test. */
export interface LogUnderTest {
  /** A writer's own access to it. */
  store(): IngestLogStore
  /** All entries of a stream, by number. */
  entries(stream: number): Promise<StoredEntry[]>
  isClosed(stream: number): Promise<boolean>
  end(): Promise<void>
}

const log = pino({ level: 'silent' })
const quickly = async () => {}

export function testIngestLog(name: string, make: () => Promise<LogUnderTest>): void {
  describe(`the ingest log in ${name}`, () => {
    let subject: LogUnderTest
    let store: IngestLogStore
    beforeAll(async () => {
      subject = await make()
    })
    beforeEach(() => {
      store = subject.store()
    })
    afterAll(() => subject?.end())

    const open = (options: Partial<WriterOptions> = {}) => openWriter({ store, log, backoff: quickly, ...options })

    describe('as a store', () => {
      test('keeps each entry of a commit as it was', async () => {
        const stream = await store.open()
        const strange = [
          message(3, { payload: Buffer.from([0xff, 0xfe, 0, 0x1e, 0x5c, 0x78]) }),
          message(19, { payload: Buffer.alloc(0), kind: 'unknown', name: 'a\u001eb"\\,{}\u00e9\u{1f600}\u0001' }),
          message(4, { id: 'm-1', contentType: 'application/senml+json', trace: '00-a-b-01', size: 300_000 }),
        ]
        const at = Date.now()
        const commit = encodeCommit(stream, 7, at, strange, true)
        expect(await store.write(commit)).toBe('written')
        const entries = await subject.entries(stream)
        expect(entries.map((entry) => [entry.seq, entry.lane, entry.at])).toEqual([
          [7, 3, at],
          [8, 4, at],
          [9, HEARTBEAT_LANE, at],
        ])
        expect(messagesOf(entries)).toEqual([strange[0], strange[1], strange[2]])
        await store.end()
      })

      test('writes the same commit once, however often it comes', async () => {
        const stream = await store.open()
        const commit = encodeCommit(stream, 1, Date.now(), [message(1), message(2)], true)
        for (let i = 0; i < 3; i++) expect(await store.write(commit)).toBe('written')
        expect(await subject.entries(stream)).toHaveLength(3)
        await store.end()
      })

      test('takes nothing into a closed stream, and knows what was in it before', async () => {
        const stream = await store.open()
        const before = encodeCommit(stream, 1, Date.now(), [message(1)], false)
        const after = encodeCommit(stream, 2, Date.now(), [message(1)], false)
        await store.write(before)
        await store.close(stream)
        expect(await store.write(after)).toBe('closed')
        expect(await store.write(before)).toBe('written')
        expect(await subject.entries(stream)).toHaveLength(1)
        await store.end()
      })

      test('gives every run a stream of its own', async () => {
        const [one, two] = [await store.open(), await store.open()]
        expect(two).toBeGreaterThan(one)
        await store.end()
      })
    })

    describe('through its writer', () => {
      test('has a message when append resolves', async () => {
        const writer = await open()
        const sent = message(5, { payload: Buffer.from('{"temperature":1}') })
        await writer.append(sent)
        expect(messagesOf(await subject.entries(writer.stream))).toEqual([sent])
        await writer.close()
      })

      test('answers in the order of the pushes and keeps it within each device', async () => {
        const writer = await open({ limits: { ...WRITER_LIMITS, commitMessages: 7 } })
        const sent = Array.from({ length: 100 }, (_, i) => message(1 + (i % 5), { payload: Buffer.from(String(i)) }))
        const answered: number[] = []
        await new Promise<void>((resolve) => {
          sent.forEach((m, i) => {
            writer.push(m, () => {
              answered.push(i)
              if (answered.length === sent.length) resolve()
            })
          })
        })
        expect(answered).toEqual(sent.map((_, i) => i))
        const stored = messagesOf(await subject.entries(writer.stream))
        for (let device = 1; device <= 5; device++) {
          expect(stored.filter(({ incarnation }) => incarnation === device)).toEqual(
            sent.filter(({ incarnation }) => incarnation === device),
          )
        }
        await writer.close()
      })

      test('numbers without gaps, and its times never fall though the clock does', async () => {
        const clock = { time: Date.now() }
        const writer = await open({ now: () => clock.time, heartbeatMs: 5 })
        for (let i = 0; i < 30; i++) {
          clock.time += i % 3 === 0 ? -50 : 20
          await writer.append(message(i, { receivedAt: clock.time }))
        }
        const entries = await subject.entries(writer.stream)
        expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1))
        expectTimesInOrder(entries)
        await writer.close()
      })

      test('beats under load, after all that came before and before all that comes later', async () => {
        const writer = await open({ heartbeatMs: 3 })
        let stop = false
        const load = (async () => {
          for (let i = 0; !stop; i++) await Promise.all(Array.from({ length: 5 }, (_, k) => writer.append(message(i + k))))
        })()
        await until(async () => (await beatsOf(writer.stream)) >= 5, 'five heartbeats')
        stop = true
        await load
        expectTimesInOrder(await subject.entries(writer.stream))
        await writer.close()
      })

      test('beats when nothing comes', async () => {
        const writer = await open({ heartbeatMs: 3 })
        await until(async () => (await beatsOf(writer.stream)) >= 3, 'three heartbeats')
        await writer.close()
      })

      test('has each message once though answers of commits are lost', async () => {
        const flaky = losingAnswers(store)
        const writer = await open({ store: flaky })
        const sent = Array.from({ length: 40 }, (_, i) => message(i, { payload: Buffer.from(String(i)) }))
        for (const m of sent) await writer.append(m)
        expect(flaky.lost).toBeGreaterThan(10)
        const entries = await subject.entries(writer.stream)
        expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1))
        expect(messagesOf(entries)).toEqual(sent)
        await writer.close()
      })

      test('goes on in a new stream when a processor closed the old one, with each message in one of them', async () => {
        const changes: number[] = []
        const flaky = losingAnswers(store)
        const writer = await open({ store: flaky, onStreamChanged: (stream) => changes.push(stream) })
        const streams = [writer.stream]
        const sent = Array.from({ length: 30 }, (_, i) => message(i, { payload: Buffer.from(String(i)) }))
        for (const [i, m] of sent.entries()) {
          if (i % 10 === 5) await store.close(writer.stream)
          await writer.append(m)
          if (!streams.includes(writer.stream)) streams.push(writer.stream)
        }
        await until(() => changes.length === 3, 'word of three new streams')
        expect(changes).toEqual(streams.slice(1))
        const stored = (await Promise.all(streams.map((stream) => subject.entries(stream)))).flatMap(messagesOf)
        expect(stored).toEqual(sent)
        await writer.close()
      })

      test('refuses beyond its bounds, and takes messages again when there is room', async () => {
        const gate = gated(store)
        const writer = await open({ store: gate, limits: { ...WRITER_LIMITS, maxMessages: 10 } })
        gate.hold()
        const taken = Array.from({ length: 10 }, (_, i) => writer.append(message(i)))
        await expect(writer.append(message(1))).rejects.toMatchObject({ code: expect.stringMatching(/too-many-requests|unavailable/) })
        // How a connection ended is always noted.
        const end = writer.append(message(1, { kind: 'disconnect' }))
        gate.release()
        await Promise.all([...taken, end])
        await writer.append(message(1))
        expect(writer.waiting).toEqual({ messages: 0, bytes: 0 })
        await writer.close()
      })

      test('writes what waits when it closes, closes its stream, and takes nothing more', async () => {
        const writer = await open()
        const waiting = [message(1), message(2)]
        const answers = waiting.map((m) => writer.append(m))
        const closed = writer.close()
        await expect(writer.append(message(3))).rejects.toMatchObject({ code: 'unavailable' })
        await Promise.all([closed, ...answers])
        expect(messagesOf(await subject.entries(writer.stream))).toEqual(waiting)
        expect(await subject.isClosed(writer.stream)).toBe(true)
      })

      test('rejects what it cannot write before its deadline', async () => {
        const broken = { ...access(store), write: () => Promise.reject(new Error('away')) }
        const writer = await open({ store: broken })
        const answer = writer.append(message(1))
        await Promise.all([expect(answer).rejects.toMatchObject({ code: 'unavailable' }), writer.close(0)])
        await store.end()
      })

      test('gives back any messages as they were', async () => {
        const writer = await open()
        await fc.assert(
          fc.asyncProperty(fc.array(anyMessage, { minLength: 1, maxLength: 20 }), async (sent) => {
            const start = (await subject.entries(writer.stream)).length
            await Promise.all(sent.map((m) => writer.append(m)))
            const stored = messagesOf((await subject.entries(writer.stream)).slice(start))
            for (const incarnation of new Set(sent.map((m) => m.incarnation))) {
              const ofDevice = (m: Message) => m.incarnation === incarnation
              expect(stored.filter(ofDevice)).toEqual(sent.filter(ofDevice))
            }
          }),
          { numRuns: 25 },
        )
        await writer.close()
      })
    })

    async function beatsOf(stream: number): Promise<number> {
      return (await subject.entries(stream)).filter(({ lane }) => lane === HEARTBEAT_LANE).length
    }
  })
}

function message(incarnation: number, rest: Partial<Message> = {}): Message {
  const payload = rest.payload ?? Buffer.from('{}')
  return { incarnation, kind: 'telemetry', receivedAt: Date.now(), payload, size: payload.length, connection: 12, ...rest }
}

const anyMessage: fc.Arbitrary<Message> = fc
  .record(
    {
      incarnation: fc.integer({ min: 1, max: 40 }),
      kind: fc.constantFrom('telemetry', 'event', 'presence', 'will', 'connect', 'disconnect', 'unknown'),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      connection: fc.nat(),
      id: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,20}$/),
      contentType: fc.constant('application/senml+json'),
      trace: fc.constant('00-0123456789abcdef0123456789abcdef-0123456789abcdef-01'),
    },
    { requiredKeys: ['incarnation', 'kind', 'payload'] },
  )
  .chain((rest) => fc.constantFrom(0, 5).map((cut) => ({ receivedAt: Date.now(), size: rest.payload.length + cut, ...rest }) as Message))

/** Reads entries as a processor does. */
function messagesOf(entries: StoredEntry[]): Message[] {
  return entries.flatMap(({ lane, heads, body }) => {
    let start = 0
    return (JSON.parse(heads) as Head[]).map(([incarnation, kind, receivedAt, length, name, connection, id, contentType, trace, size]) => {
      expect(laneOf(incarnation)).toBe(lane)
      const payload = Buffer.from(body.subarray(start, start + length))
      start += length
      const m: Message = { incarnation, kind, receivedAt, payload, size: size ?? length }
      if (name != null) m.name = name
      if (connection != null) m.connection = connection
      if (id != null) m.id = id
      if (contentType != null) m.contentType = contentType
      if (trace != null) m.trace = trace
      return m
    })
  })
}

/** Entries' times never fall; a heartbeat's lies between the receipts before it and those after it. */
function expectTimesInOrder(entries: StoredEntry[]): void {
  let at = 0
  let beat = 0
  let newest = 0
  for (const entry of entries) {
    expect(entry.at).toBeGreaterThanOrEqual(at)
    at = entry.at
    const times = messagesOf([entry]).map(({ receivedAt }) => receivedAt)
    for (const time of times) {
      expect(time).toBeGreaterThanOrEqual(beat)
      expect(time).toBeLessThanOrEqual(at)
      newest = Math.max(newest, time)
    }
    if (entry.lane === HEARTBEAT_LANE) {
      expect(at).toBeGreaterThanOrEqual(newest)
      beat = at
    }
  }
}

function access(store: IngestLogStore): IngestLogStore {
  return {
    open: () => store.open(),
    write: (commit) => store.write(commit),
    close: (stream) => store.close(stream),
    end: () => store.end(),
  }
}

/** Every third commit fails before it is written, every third after. */
function losingAnswers(store: IngestLogStore): IngestLogStore & { lost: number } {
  let turn = 0
  const flaky = {
    ...access(store),
    lost: 0,
    async write(commit: Commit) {
      turn++
      if (turn % 3 === 1) return store.write(commit)
      flaky.lost++
      if (turn % 3 === 0) await store.write(commit)
      throw new Error('connection lost')
    },
  }
  return flaky
}

function gated(store: IngestLogStore): IngestLogStore & { hold(): void; release(): void } {
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  return {
    ...access(store),
    async write(commit) {
      await gate.promise
      return store.write(commit)
    },
    hold() {
      gate = Promise.withResolvers<void>()
    },
    release: () => gate.resolve(),
  }
}
