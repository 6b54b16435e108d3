/** A fresh migrated database for a test file, on the Postgres that all tests of the run share. Takes some 50 ms. */
import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { connect, type Sql } from '../../infra/postgres/connect.ts'
import { askForServer } from './ask.ts'

export interface TestDatabase {
  sql: Sql
  url: string
  /** Ends every connection and drops it. */
  drop(): Promise<void>
}

export interface TestDatabaseOptions {
  /** Connections of `sql`. */
  max?: number
  /** false: without any table. */
  migrated?: boolean
}

export async function testDatabase({ max = 10, migrated = true }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = await askForServer<{ url: string; template: string }>(inject('testServers'), '/postgres')
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin(server.url, `create database ${name} template ${migrated ? server.template : 'template0'}`)
  const url = new URL(server.url)
  url.pathname = `/${name}`
  const sql = connect(url.href, { max, name: 'test' })
  return {
    sql,
    url: url.href,
    drop: async () => {
      await sql.end({ timeout: 1 })
      await asAdmin(server.url, `drop database if exists ${name} with (force)`)
    },
  }
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const sql = connect(url, { max: 1, name: 'test admin' })
  try {
    await sql.unsafe(statement)
  } finally {
    await sql.end()
  }
}
