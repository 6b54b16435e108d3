/** Twins and filters of every kind, for tests of what filters mean. */
import fc from 'fast-check'
import type { Sql } from '../../infra/postgres/connect.ts'
import { searchableJson, telemetryPart } from '../../twin-models/core/document.ts'
import type { Latest } from '../../twin-models/core/types.ts'
import type { Filter, Literal, Path } from '../../twin-models/filter/parse.ts'

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

export const json = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3, withCrossShrink: true }, text, number, fc.boolean(), fc.constant(null), tie('array'), tie('object')),
  array: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
}))

const latest = fc
  .array(fc.tuple(fc.constantFrom('temperature', 'a', 'b', 'site', 'in', '__proto__'), json.value, fc.integer({ min: 0, max: 2e12 })), {
    maxLength: 4,
  })
  .map((all) => Object.fromEntries(all.map(([name, value, ts]) => [name, [value, ts, ts + 5]])) as Latest)

/** Of leaves: keys are JSON pointers. */
const leaves = fc.dictionary(
  fc.constantFrom('/a', '/site/b', '/a~1b'),
  fc.record({ status: fc.constantFrom('pending', 'converged', 'diverged'), version: fc.integer({ min: 1, max: 5 }) }),
)

export const device = fc.record({
  attributes: json.object,
  latest,
  presence: fc.constantFrom({ status: 'never' }, { status: 'online', since: '2026-11-21T00:00:00.000Z', reason: 'message' }),
  firmware: fc.option(json.value),
  health: fc.option(fc.record({ ok: fc.boolean(), battery: number })),
  update: fc.option(fc.record({ status: fc.constantFrom('scheduled', 'soaking'), attempt: number, firmware: json.value })),
  clock: fc.option(fc.record({ status: fc.constantFrom('ok', 'ahead', 'unset'), driftMs: number }, { requiredKeys: ['status'] })),
  desired: fc.option(fc.record({ version: fc.integer({ min: 1, max: 5 }), state: json.object, metadata: leaves })),
  reported: fc.option(fc.record({ state: json.object, metadata: leaves })),
  delta: fc.option(json.object),
  alarms: fc.option(fc.constant([{ n: 1, rule: 'a', severity: 'major' }])),
  maintenance: fc.option(fc.record({ since: fc.constant('2026-11-21T00:00:00.000Z'), until: text, by: fc.constantFrom('a', 'ä') })),
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
    ['update'],
    ['update', 'status'],
    ['update', 'attempt'],
    ['update', 'firmware', 'a'],
    ['clock'],
    ['clock', 'status'],
    ['clock', 'driftMs'],
    ['clock', 'driftMs', 'x'],
    ['createdAt'],
    ['updatedAt'],
    ['desired', 'version'],
    ['desired', 'state'],
    ['desired', 'metadata', '/a', 'status'],
    ['desired', 'metadata', '/site/b', 'version'],
    ['reported', 'metadata', '/a~1b', 'status'],
    ['delta'],
    ['alarms'],
    ['alarms', '0'],
    ['alarms', 'rule'],
    ['maintenance'],
    ['maintenance', 'until'],
    ['maintenance', 'by', 'x'],
  ),
  {
    arbitrary: fc
      .tuple(fc.constantFrom<Path>(['desired', 'state'], ['reported', 'state'], ['delta']), fc.array(key, { minLength: 1, maxLength: 3 }))
      .map(([root, keys]): Path => [...root, ...keys]),
    weight: 3,
  },
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

export const filter = fc.letrec<{ filter: Filter; leaf: Filter }>((tie) => ({
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

/** The tenant's devices `d-0`, `d-1`, … as these samples say. */
export async function storeSamples(sql: Sql, tenant: string, samples: Array<SampleOf<typeof device>>): Promise<void> {
  await sql`insert into tenants (tenant) values (${tenant})`
  for (const [n, sample] of samples.entries()) {
    const decided = {
      presence: sample.presence,
      ...(sample.firmware !== null && { firmware: sample.firmware }),
      ...(sample.health !== null && { health: sample.health }),
      ...(sample.update !== null && { update: sample.update }),
      ...(sample.desired !== null && { desired: sample.desired }),
      ...(sample.reported !== null && { reported: sample.reported }),
      ...(sample.delta !== null && { delta: sample.delta }),
      ...(sample.alarms !== null && { alarms: sample.alarms }),
      ...(sample.maintenance !== null && { maintenance: sample.maintenance }),
    }
    const [row] = await sql<Array<{ incarnation: number }>>`
      insert into devices (tenant, device, model, model_version, attributes, token_hash, revision, decided, telemetry, created_at)
      values (${tenant}, ${`d-${n}`}, ${n % 2 ? 'pump' : 'thermostat'}, '1.0.0', ${JSON.stringify(sample.attributes)}::text::jsonb,
        sha256(${`t${n}`}::text::bytea), ${n % 5}, ${searchableJson(decided)}::text::jsonb,
        ${searchableJson(sample.hasInbox ? telemetryPart(sample.latest, undefined) : {})}::text::jsonb, now() - ${n} * interval '1.0003 days')
      returning incarnation`
    if (!sample.hasInbox) continue
    await sql`
      insert into twin_inbox (incarnation, lane, last_seen, connection, latest, clock)
      values (${row!.incarnation}, 0, ${sample.lastSeen}, ${sample.connected ? '[1, 1]' : null}, ${JSON.stringify(sample.latest)},
        ${sample.clock && JSON.stringify(sample.clock)})`
  }
}

type SampleOf<A> = A extends fc.Arbitrary<infer T> ? T : never
