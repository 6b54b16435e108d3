/** A filter means the same to the live stream as to search: also after readings and decisions that were only told by events. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Documents } from '../../api/live/documents.ts'
import type { FromOutbox, LiveEvent } from '../../api/live/live-event.ts'
import { FIRST_FILTER_PARAMETER } from '../../api/ports.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { postgresLiveStore } from '../../infra/postgres/live-log.ts'
import { createTwins } from '../../infra/postgres/twins.ts'
import { maintenancePart } from '../../twin-models/core/decided.ts'
import { searchableJson, telemetryPart } from '../../twin-models/core/document.ts'
import { mergeLatest } from '../../twin-models/core/latest.ts'
import { isoTime } from '../../twin-models/core/times.ts'
import type { Firmware, Health, Latest, Maintenance, Reading } from '../../twin-models/core/types.ts'
import { matches } from '../../twin-models/filter/evaluate.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { device, filter, json, storeSamples } from './filter-samples.ts'

const DEVICES = 200
const TENANT = 'demo'
const SCOPE = 0
const NO_MODELS = { find: () => undefined, list: () => [] }

let database: TestDatabase
let documents: Documents
let ids: Map<number, string>

/** What becomes of a device: in order. */
const change = fc.oneof(
  fc.record({
    reading: fc.record({
      name: fc.constantFrom('temperature', 'a', 'b', 'site', 'in'),
      value: json.value,
      ts: fc.integer({ min: 0, max: 2e12 }),
      receivedAt: fc.integer({ min: 0, max: 2e12 }),
    }),
  }),
  fc.record({ presence: fc.constantFrom('online', 'offline') }),
  fc.record({ firmware: fc.record({ version: fc.constantFrom('1', '2', 'a') }) }),
  fc.record({ health: fc.record({ ok: fc.boolean(), battery: fc.constantFrom(0, 1, 0.1) }) }),
  fc.record({
    maintenance: fc.option(
      fc.record(
        {
          since: fc.constant(1_000),
          until: fc.integer({ min: 0, max: 2e12 }),
          by: fc.constantFrom('a', 'ä'),
          others: fc.constant([{ until: 5, by: 't', ticket: true as const }]),
        },
        { requiredKeys: ['since', 'until', 'by'] },
      ),
    ),
  }),
)
type Change =
  | { reading: Reading }
  | { presence: string }
  | { firmware: Firmware }
  | { health: Health }
  | { maintenance: Maintenance | null }

beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await storeSamples(sql, TENANT, fc.sample(device, { numRuns: DEVICES, seed: 20261126 }))
  documents = new Documents(postgresLiveStore(sql), NO_MODELS, 1_000)
  const rows = await sql<Array<{ incarnation: number; device: string }>>`select incarnation, device from devices order by incarnation`
  ids = new Map(rows.map((row) => [row.incarnation, row.device]))
  // As they are now; from here on only events tell.
  await documents.load(SCOPE, ids.keys())
  const changes = fc.sample(fc.array(change, { maxLength: 6 }), { numRuns: DEVICES, seed: 20261127 })
  for (const [n, incarnation] of [...ids.keys()].entries()) {
    for (const [revision, one] of (changes[n] as Change[]).entries()) await become(incarnation, one, 10 + revision)
  }
})
afterAll(() => database?.drop())

/** In the database as the processor or the decision write does it, and to the documents as an event. */
async function become(incarnation: number, one: Change, revision: number): Promise<void> {
  const { sql } = database
  const base = { tenant: TENANT, incarnation, device: ids.get(incarnation)!, json: '' }
  if ('reading' in one) {
    const at = one.reading.receivedAt
    const [row] = await sql<Array<{ latest: string }>>`select latest from twin_inbox where incarnation = ${incarnation}`
    const latest: Latest = JSON.parse(row?.latest ?? '{}')
    mergeLatest(latest, one.reading)
    await sql`
      insert into twin_inbox (incarnation, lane, last_seen, latest) values (${incarnation}, 0, ${at}, ${JSON.stringify(latest)})
      on conflict (incarnation) do update set latest = excluded.latest, last_seen = greatest(twin_inbox.last_seen, excluded.last_seen)`
    await sql`update devices set telemetry = ${searchableJson(telemetryPart(latest, undefined))}::text::jsonb where incarnation = ${incarnation}`
    documents.apply(SCOPE, {
      ...base,
      type: 'reading',
      at,
      from: { kind: 'reading', stream: 1, seq: 1, index: 0, readings: [one.reading] },
    })
    return
  }
  const at = Date.now()
  const [part, from] = decided(one, revision, at)
  const gone = 'maintenance' in one ? 'maintenance' : ''
  await sql`
    update devices set decided = (decided - ${gone}::text) || ${searchableJson(part)}::text::jsonb, revision = ${revision}, decided_at = to_timestamp(${at} / 1000.0)
    where incarnation = ${incarnation}`
  documents.apply(SCOPE, { ...base, type: 'decision', at, from } satisfies LiveEvent)
}

function decided(one: Exclude<Change, { reading: Reading }>, revision: number, at: number): [part: object, from: FromOutbox] {
  const event = (kind: string, more: object): FromOutbox => ({ kind, position: revision, revision, event: { at, ...more } })
  if ('presence' in one) {
    const { presence: status } = one
    return [{ presence: { status, since: isoTime(at), reason: 'hello' } }, event('presence-changed', { after: status, reason: 'hello' })]
  }
  if ('maintenance' in one) {
    const { maintenance: now } = one
    const part = now ? { maintenance: maintenancePart(now) } : {}
    return [part, event('maintenance-changed', one)]
  }
  if ('firmware' in one) return [one, event('firmware-changed', { after: one.firmware })]
  return [one, event('health-changed', { after: one.health })]
}

test('search and the stream choose the same twins by any filter', async () => {
  const quick = connect(database.url, { max: 2, name: 'test searches', genericPlans: true })
  const twins = createTwins(database.sql, quick)
  let found = 0
  await fc.assert(
    fc.asyncProperty(filter, async (tree) => {
      const rows = await twins.search(TENANT, { after: undefined, limit: DEVICES + 1 }, compileFilter(tree, FIRST_FILTER_PARAMETER))
      const chosen = [...ids].filter(([incarnation]) => matches(tree, documents.get(SCOPE, incarnation)!)).map(([, id]) => id)
      found += rows.length > 0 && rows.length < DEVICES ? 1 : 0
      expect(chosen.sort()).toEqual(rows.map((row) => row.device).sort())
    }),
    { numRuns: 1500 },
  )
  await quick.end()
  // A property that holds for empty results alone would show nothing.
  expect(found).toBeGreaterThan(150)
})

test('what is read again is the same as what events told', async () => {
  const again = new Documents(postgresLiveStore(database.sql), NO_MODELS, 1_000)
  await again.load(SCOPE, ids.keys())
  for (const incarnation of ids.keys())
    expect(comparable(documents.get(SCOPE, incarnation))).toEqual(comparable(again.get(SCOPE, incarnation)))
})

/** `stale` is worked out on reading, and no filter may ask for it. */
function comparable(document: object | undefined): unknown {
  return JSON.parse(JSON.stringify(document, (key, value) => (key === 'stale' ? undefined : value)))
}
