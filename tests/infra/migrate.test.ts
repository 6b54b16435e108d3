import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { checkSchema, type Migration, migrate, readMigrations } from '../../infra/postgres/migrate.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

describe('migrations', () => {
  let database: TestDatabase
  const migrations: Migration[] = [
    { version: 1, name: '0001_one.sql', text: 'create table one (id integer); insert into one values (1);' },
    { version: 2, name: '0002_two.sql', text: 'alter table one add column two text' },
  ]
  beforeAll(async () => {
    database = await testDatabase({ migrated: false })
  })
  afterAll(() => database.drop())

  test('two processes that migrate at once apply each migration once', async () => {
    const other = connect(database.url, { max: 1, name: 'test' })
    const applied = await Promise.all([migrate(database.sql, migrations), migrate(other, migrations)])
    await other.end()
    expect(applied.flat().sort()).toEqual(['0001_one.sql', '0002_two.sql'])
    expect(await database.sql`select * from one`).toMatchObject([{ id: 1, two: null }])
  })

  test('a second run applies nothing', async () => {
    expect(await migrate(database.sql, migrations)).toEqual([])
    await checkSchema(database.sql, migrations)
  })

  test('a migration that fails changes nothing and is named, and its connection is usable after', async () => {
    const broken = { version: 3, name: '0003_broken.sql', text: 'create table three (id integer); select nonsense' }
    await expect(migrate(database.sql, [...migrations, broken])).rejects.toThrow(/0003_broken\.sql failed and changed nothing/)
    expect(await database.sql`select to_regclass('three') as three`).toMatchObject([{ three: null }])
    expect(await migrate(database.sql, migrations)).toEqual([])
  })

  test('a schema newer than known is refused, with what to do', async () => {
    const older = migrations.slice(0, 1)
    await expect(migrate(database.sql, older)).rejects.toThrow(/version 2, but this Castor knows only up to 1/)
    await expect(checkSchema(database.sql, older)).rejects.toThrow(/knows only up to 1/)
  })

  test('a process that does not migrate refuses a schema that is too old', async () => {
    const newer = [...migrations, { version: 3, name: '0003_three.sql', text: '' }]
    await expect(checkSchema(database.sql, newer)).rejects.toThrow(/version 2, this Castor needs 3/)
  })

  test('the shipped migrations are numbered without gaps', async () => {
    const versions = (await readMigrations()).map(({ version }) => version)
    expect(versions).toEqual(versions.map((_, i) => i + 1))
  })
})
