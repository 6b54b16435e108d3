import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from '../../infra/postgres/embedded.ts'
import { requireReach } from '../../infra/postgres/embedded-user.ts'
import { isAlive } from '../../infra/processes/identity.ts'
import { freePort } from '../support/free-port.ts'

describe('embedded Postgres', () => {
  let dataDir: string
  const started: EmbeddedPostgres[] = []
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'castor-embedded-'))
    await chmod(dataDir, 0o711)
  })
  afterEach(async () => {
    for (const server of started.splice(0)) await server.stop()
    await rm(dataDir, { recursive: true, maxRetries: 5 })
  })

  async function start(options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPostgres> {
    const server = await startEmbeddedPostgres({
      dataDir,
      port: await freePort(),
      logFile: join(dataDir, 'postgres.log'),
      durable: false,
      ...options,
    })
    started.push(server)
    return server
  }

  async function query(server: EmbeddedPostgres, text: string) {
    const sql = connect(server.url, { max: 1, name: 'test' })
    try {
      return await sql.unsafe(text)
    } finally {
      await sql.end()
    }
  }

  test('is PostgreSQL 18 with fsync, for whoever has the password, which only its owner can read', async () => {
    const server = await start({ durable: true })
    const [row] = await query(
      server,
      `select current_setting('server_version_num')::int / 10000 as version, current_setting('fsync') as fsync,
      current_setting('server_encoding') as encoding, current_database() as database`,
    )
    expect(row).toEqual({ version: 18, fsync: 'on', encoding: 'UTF8', database: 'castor' })
    const password = await readFile(join(dataDir, 'postgres.password'), 'utf8')
    expect((await stat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600)
    await expect(query({ ...server, url: server.url.replace(password, 'wrong') }, 'select 1')).rejects.toThrow(
      /password authentication failed/,
    )
  })

  test('after a kill -9, and with its pid used by another process since, it starts again and has what was committed', async () => {
    const first = await start({ durable: true })
    await query(first, 'create table kept (id integer); insert into kept values (1)')
    process.kill(first.identity.pid, 'SIGKILL')
    expect(await first.ended).toBe('killed by SIGKILL')
    const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
    await writeFile(pidFile, (await readFile(pidFile, 'utf8')).replace(/^\d+/, String(process.ppid)))
    const second = await start({ durable: true })
    expect(await query(second, 'select * from kept')).toEqual([{ id: 1 }])
  })

  test('a stop is fast although sessions are open', async () => {
    const server = await start()
    const sql = connect(server.url, { max: 1, name: 'test' })
    await sql`select 1`
    await server.stop()
    expect(isAlive(server.identity)).toBe(false)
    expect(await server.ended).toBe('exit status 0')
    await sql.end({ timeout: 0 })
  })

  test('a start that fails says why', async () => {
    const server = await start()
    const port = Number(new URL(server.url).port)
    const other = await mkdtemp(join(tmpdir(), 'castor-embedded-'))
    await chmod(other, 0o711)
    const second = startEmbeddedPostgres({ dataDir: other, port, logFile: join(other, 'postgres.log'), durable: false })
    await expect(second).rejects.toThrow(/could not bind|Address already in use|could not create any TCP\/IP sockets/)
    await rm(other, { recursive: true })
  })

  test('a folder that the user of Postgres cannot enter is named, with what to do', async () => {
    const stranger = { uid: 61_234, gid: 61_234 }
    await requireReach(join(dataDir, 'postgres'), stranger)
    await chmod(dataDir, 0o700)
    await expect(requireReach(join(dataDir, 'postgres'), stranger)).rejects.toThrow(`cannot enter ${dataDir}`)
  })
})
