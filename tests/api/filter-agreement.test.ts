/** One filter language with one meaning: SQL on Postgres and the evaluator in memory agree on every document (docs/architecture.md §3.14). */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FIRST_FILTER_PARAMETER, type TwinRow } from '../../api/ports.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { createTwins } from '../../infra/postgres/twins.ts'
import { searchableJson, telemetryPart, twinDocument } from '../../twin-models/core/document.ts'
import type { Latest } from '../../twin-models/core/types.ts'
import { matches } from '../../twin-models/filter/evaluate.ts'
import type { Filter, Literal, Path } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

const DEVICES = 250
const TENANT = 'demo'

let database: TestDatabase
let documents: Map<string, object>

/** What both sides are likely to confuse: code points beyond U+FFFF, case, accents, quotes, wildcards, numbers as text. */
const TEXTS = [
  '',
  'a',
  'A',
  'ä',
  'a\u0308',
  'b%',
  'b_c',
  '\\',
  "it's",
  '"',
  '\uffee',
  '\u{1F600}',
  '\u{10FFFF}',
  '1',
  '1e21',
  'true',
  'null',
  'north',
  'süd',
  '\ue000x',
  '𝒳y',
]
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.1,
  0.30000000000000004,
  1e21,
  1e-7,
  123456789012345680000,
  5e-324,
  Number.MAX_VALUE,
  -1e300,
  2 ** 53,
  2 ** 53 + 2,
]
const KEYS = ['site', 'a', 'b', 'a.b', 'in', 'value', '__proto__', 'ts', '0', '', 'ä', '"q"', 'temperature']

const text = fc.oneof(
  fc.constantFrom(...TEXTS, 'ok', 'ahead'),
  fc.string({ unit: 'binary', maxLength: 4 }).filter((t) => t.isWellFormed() && !t.includes('\u0000')),
)
const number = fc.oneof(fc.constantFrom(...NUMBERS), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer())
const literal: fc.Arbitrary<Literal> = fc.oneof(text, number, fc.boolean())
const key = fc.constantFrom(...KEYS)

const json = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3, withCrossShrink: true }, text, number, fc.boolean(), fc.constant(null), tie('array'), tie('object')),
  array: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
}))

const latest = fc
  .array(fc.tuple(fc.constantFrom('temperature', 'a', 'b', 'site', 'in', '__proto__'), json.value, fc.integer({ min: 0, max: 2e12 })), {
    maxLength: 4,
  })
  .map((all) => Object.fromEntries(all.map(([name, value, ts]) => [name, [value, ts, ts + 5]])) as Latest)

const device = fc.record({
  attributes: json.object,
  latest,
  presence: fc.constantFrom({ status: 'never' }, { status: 'online', since: '2026-11-21T00:00:00.000Z', reason: 'message' }),
  firmware: fc.option(json.value),
  health: fc.option(fc.record({ ok: fc.boolean(), battery: number })),
  clock: fc.option(fc.record({ status: fc.constantFrom('ok', 'ahead', 'unset'), driftMs: number }, { requiredKeys: ['status'] })),
  lastSeen: fc.constantFrom(0, 1_700_000_000_123),
  connected: fc.boolean(),
  hasInbox: fc.boolean(),
})

const path: fc.Arbitrary<Path> = fc.oneof(
  { arbitrary: fc.array(key, { minLength: 1, maxLength: 3 }).map((keys): Path => ['attributes', ...keys]), weight: 4 },
  {
    arbitrary: fc
      .tuple(key, fc.constantFrom('value', 'ts', 'unit', 'receivedAt', 'messageId'), fc.array(key, { maxLength: 2 }))
      .map(([name, field, rest]): Path => ['telemetry', name, field, ...rest]),
    weight: 4,
  },
  fc.constantFrom<Path>(
    ['id'],
    ['id', 'x'],
    ['tenant'],
    ['model'],
    ['modelVersion'],
    ['revision'],
    ['status'],
    ['attributes'],
    ['telemetry'],
    ['presence'],
  ),
  fc.constantFrom<Path>(
    ['presence', 'status'],
    ['presence', 'since'],
    ['presence', 'connected'],
    ['presence', 'lastSeenAt'],
    ['presence', 'connected', 'x'],
  ),
  fc.constantFrom<Path>(
    ['firmware'],
    ['firmware', 'a'],
    ['health', 'ok'],
    ['health', 'battery'],
    ['clock'],
    ['clock', 'status'],
    ['clock', 'driftMs'],
    ['clock', 'driftMs', 'x'],
    ['createdAt'],
    ['updatedAt'],
    ['desired', 'state'],
    ['alarms'],
  ),
)

const pattern = fc
  .array(
    fc.oneof(
      fc.constantFrom('%', '_', '\\%', '\\_', '\\\\', '\\a'),
      text.map((t) => t.replaceAll('\\', '')),
    ),
    { maxLength: 4 },
  )
  .map((parts) => parts.join(''))

const filter = fc.letrec<{ filter: Filter; leaf: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    tie('leaf'),
    fc.record({ kind: fc.constant('not' as const), term: tie('filter') }),
    fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), terms: fc.array(tie('filter'), { minLength: 2, maxLength: 3 }) }),
  ) as fc.Arbitrary<Filter>,
  leaf: fc.oneof(
    fc.record({ kind: fc.constant('compare' as const), path, comparison: fc.constantFrom('=' as const, '!=' as const), value: literal }),
    fc.record({
      kind: fc.constant('compare' as const),
      path,
      comparison: fc.constantFrom('<' as const, '<=' as const, '>' as const, '>=' as const),
      value: fc.oneof(text, number),
    }),
    fc.record({ kind: fc.constant('in' as const), path, values: fc.array(literal, { minLength: 1, maxLength: 3 }) }),
    fc.record({ kind: fc.constant('like' as const), path, pattern }),
    fc.record({ kind: fc.constant('exists' as const), path }),
  ),
})).filter

beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await sql`insert into tenants (tenant) values (${TENANT})`
  const samples = fc.sample(device, { numRuns: DEVICES, seed: 20261121 })
  for (const [n, sample] of samples.entries()) {
    const decided = {
      presence: sample.presence,
      ...(sample.firmware !== null && { firmware: sample.firmware }),
      ...(sample.health !== null && { health: sample.health }),
    }
    const [row] = await sql<Array<{ incarnation: number }>>`
      insert into devices (tenant, device, model, model_version, attributes, token_hash, revision, decided, telemetry, created_at)
      values (${TENANT}, ${`d-${n}`}, ${n % 2 ? 'pump' : 'thermostat'}, '1.0.0', ${JSON.stringify(sample.attributes)}::text::jsonb,
        sha256(${`t${n}`}::text::bytea), ${n % 5}, ${searchableJson(decided)}::text::jsonb,
        ${searchableJson(sample.hasInbox ? telemetryPart(sample.latest, undefined) : {})}::text::jsonb, now() - ${n} * interval '1.0003 days')
      returning incarnation`
    if (!sample.hasInbox) continue
    await sql`
      insert into twin_inbox (incarnation, lane, last_seen, connection, latest, clock)
      values (${row!.incarnation}, 0, ${sample.lastSeen}, ${sample.connected ? '[1, 1]' : null}, ${JSON.stringify(sample.latest)},
        ${sample.clock && JSON.stringify(sample.clock)})`
  }
  const rows = await createTwins(sql).search(TENANT, { after: undefined, limit: DEVICES + 1 }, undefined)
  documents = new Map(rows.map((row) => [row.device, documentOf(row)]))
})
afterAll(() => database?.drop())

test('Postgres and the evaluator find the same twins for any filter', async () => {
  const { sql } = database
  const quick = connect(database.url, { max: 2, name: 'test searches', genericPlans: true })
  const twins = createTwins(sql, quick)
  let found = 0
  await fc.assert(
    fc.asyncProperty(filter, async (tree) => {
      const compiled = compileFilter(tree, FIRST_FILTER_PARAMETER)
      const rows = await twins.search(TENANT, { after: undefined, limit: DEVICES + 1 }, compiled)
      const bySql = rows.map((row) => row.device).sort()
      const inMemory = [...documents].filter(([, document]) => matches(tree, document)).map(([id]) => id)
      found += bySql.length > 0 && bySql.length < DEVICES ? 1 : 0
      expect(bySql).toEqual(inMemory.sort())
    }),
    { numRuns: 2000 },
  )
  await quick.end()
  // A property that holds for empty results alone would show nothing.
  expect(found).toBeGreaterThan(200)
})

test('a search shows the same twins by the index and in order, also when many match', async () => {
  const { sql } = database
  await sql`insert into tenants (tenant) values ('crowd')`
  await sql`
    insert into devices (tenant, device, model, model_version, attributes, token_hash)
    select 'crowd', 'd-' || n, 'pump', '1.0.0', jsonb_build_object('site', case when n % 9 = 0 then 'rare' else 'common' end), sha256(('c' || n)::bytea)
    from generate_series(1, 900) n`
  const quick = connect(database.url, { max: 1, name: 'test searches', genericPlans: true })
  const [both, ordinary] = [createTwins(sql, quick), createTwins(sql)]
  for (const site of ['rare', 'common', 'common', 'nowhere']) {
    const filter = compileFilter({ kind: 'compare', path: ['attributes', 'site'], comparison: '=', value: site }, FIRST_FILTER_PARAMETER)
    const ids = async (twins: ReturnType<typeof createTwins>, after?: string) =>
      (await twins.search('crowd', { after, limit: 30 }, filter)).map((row) => row.device)
    const first = await ids(both)
    expect(first).toEqual(await ids(ordinary))
    if (first.length === 30) expect(await ids(both, first.at(-1))).toEqual(await ids(ordinary, first.at(-1)))
  }
  await quick.end()
})

test('equality on an attribute can use the index', async () => {
  const { sql } = database
  const { where, parameters } = compileFilter({ kind: 'compare', path: ['attributes', 'site'], comparison: '=', value: 'north' }, 1)
  const plan = await sql.begin(async (tx) => {
    await tx`set local enable_seqscan = off`
    return tx.unsafe(`explain select 1 from devices d where ${where}`, parameters)
  })
  expect(JSON.stringify(plan)).toContain('devices_attributes')
})

function documentOf(row: TwinRow): object {
  const parts = {
    ...row,
    tenant: TENANT,
    attributes: JSON.parse(row.attributes),
    decided: JSON.parse(row.decided),
    latest: JSON.parse(row.latest),
    clock: row.clock === null ? null : JSON.parse(row.clock),
  }
  return twinDocument(parts, undefined, 0)
}
