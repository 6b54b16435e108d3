/**
 * Connections to Postgres. One pool a process and purpose, made here so that all of them have the same sane limits.
 *
 * The driver never sets TCP_NODELAY, without which small COPYs stall 44 ms each: so it gets its sockets from us. `?host=/folder` in
 * the URL means a Unix socket, as in libpq. int8 (counts, sequences, epoch milliseconds) reads as number: ours stay below 2^53.
 */
import net from 'node:net'
import type postgres from 'postgres'
import { postgres as driver } from './driver.ts'

/** A pool, with int8 as number. */
export type Sql = postgres.Sql<{ bigint: number }>
/** What `sql.begin` gives. */
export type Transaction = postgres.TransactionSql<{ bigint: number }>
/** A pool or a transaction: what most queries take. */
export type Queries = postgres.ISql<{ bigint: number }>

export interface ConnectOptions {
  /** Most connections at a time. */
  max: number
  /** What the pool is for; shows in pg_stat_activity as `castor name`. */
  name: string
  /** A statement that takes longer is cancelled. 0: never. */
  statementTimeoutMs?: number
  /** A transaction that takes longer is ended, with its connection. 0: never. */
  transactionTimeoutMs?: number
  /** A statement that waits longer for a lock fails. 0: never. */
  lockTimeoutMs?: number
  connectTimeoutMs?: number
  /** Plans prepared statements once, whatever their parameters: only for queries that are good by one plan. */
  genericPlans?: boolean
}

export function connect(url: string, options: ConnectOptions): Sql {
  const target = addressOf(url)
  return driver<{ bigint: postgres.PostgresType<number> }>(target.url, {
    max: options.max,
    connect_timeout: (options.connectTimeoutMs ?? 10_000) / 1000,
    connection: {
      application_name: `castor ${options.name}`,
      statement_timeout: options.statementTimeoutMs ?? 30_000,
      transaction_timeout: options.transactionTimeoutMs ?? 60_000,
      lock_timeout: options.lockTimeoutMs ?? 10_000,
      ...(options.genericPlans && { plan_cache_mode: 'force_generic_plan' }),
    } as Record<string, string | number>,
    types: { bigint: { to: 20, from: [20], serialize: (value: number) => String(value), parse: (text: string) => Number(text) } },
    onnotice: () => {},
    socket: () => openSocket(target),
  } as postgres.Options<{ bigint: postgres.PostgresType<number> }>) as unknown as Sql
}

interface Address {
  url: string
  host: string
  port: number
  /** Folder of the Unix socket. */
  folder: string | undefined
}

function addressOf(text: string): Address {
  const url = new URL(text)
  const host = url.searchParams.get('host')
  url.searchParams.delete('host')
  const folder = host?.startsWith('/') ? host : undefined
  if (host && !folder) url.hostname = host
  return { url: url.href, host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 5432), folder }
}

/**
 * Gives the socket while it still connects: Node keeps what is written until then. Not a promise, on purpose: the driver forgets a
 * connection whose promise rejects, and after as many failures as the pool has connections every query would wait for ever.
 */
function openSocket({ host, port, folder }: Address): net.Socket {
  const socket = folder ? net.connect(`${folder}/.s.PGSQL.${port}`) : net.connect({ host, port, noDelay: true, keepAlive: true })
  return Object.assign(socket, { host: folder ?? host, port })
}
