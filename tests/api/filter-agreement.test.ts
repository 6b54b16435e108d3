/** One filter language with one meaning: SQL on Postgres and the evaluator in memory agree on every document (docs/architecture.md §3.14). */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FIRST_FILTER_PARAMETER, type TwinRow } from '../../api/ports.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { createTwins } from '../../infra/postgres/twins.ts'
import { twinDocument } from '../../twin-models/core/document.ts'
import { matches } from '../../twin-models/filter/evaluate.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { device, filter, storeSamples } from './filter-samples.ts'

const DEVICES = 250
const TENANT = 'demo'

let database: TestDatabase
let documents: Map<string, object>

beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await storeSamples(sql, TENANT, fc.sample(device, { numRuns: DEVICES, seed: 20261121 }))
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
