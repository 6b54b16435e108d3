/** Rollouts in Postgres: what looks at very many devices delays nobody else. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { createRolloutStore } from '../../infra/postgres/rollouts.ts'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { testDatabase } from '../support/postgres.ts'
import { manifestOf } from '../support/signed-firmware.ts'

test('while devices are chosen, which may take minutes, the connections of all else are free', async () => {
  const database = await testDatabase()
  const pools = ['decisions', 'choosing'].map((name) => connect(database.url, { max: 1, name }))
  const [sql, choosing] = pools as [(typeof pools)[number], (typeof pools)[number]]
  try {
    const manifest = manifestOf(new Uint8Array(1))
    const firmware = { ...manifest, id: randomUUID(), manifest, problem: null }
    const asked = { name: 'all', firmware: { name: manifest.name, version: manifest.version }, filter: "id like '%'" }
    const spec = rolloutSpecOf(rolloutRequest.parse(asked))
    const store = createRolloutStore(sql, choosing)
    const held = Promise.withResolvers<void>()
    const isLocked = Promise.withResolvers<void>()
    const lock = database.sql.begin(async (tx) => {
      await tx`lock table devices in access exclusive mode`
      isLocked.resolve()
      await held.promise
    })
    await isLocked.promise
    const preview = store.preview({ id: randomUUID(), tenant: 'demo', spec, firmware })
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }])
    held.resolve()
    await lock
    expect(await preview).toMatchObject({ found: 0, total: 0 })
  } finally {
    await Promise.all(pools.map((pool) => pool.end({ timeout: 1 })))
    await database.drop()
  }
})
