/** What the embedded Postgres is started with. */
import os from 'node:os'

export interface ServerSettings {
  /** TCP port on loopback. */
  port: number
  /** false only where the data is thrown away afterwards: no fsync. */
  durable?: boolean
}

/** What suits a small machine that also runs everything else. */
export function serverSettings(options: ServerSettings, socketFolder: string | null): string[] {
  const megabytes = Math.floor(os.totalmem() / 2 ** 20)
  const buffers = Math.max(64, Math.min(1024, Math.floor(megabytes / 16)))
  const durability = options.durable === false ? ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off'] : ['fsync=on']
  return [
    'listen_addresses=127.0.0.1',
    `port=${options.port}`,
    `unix_socket_directories=${socketFolder ?? ''}`,
    'unix_socket_permissions=0777', // the password guards it; our processes may run as another user than the server
    'max_connections=200',
    `shared_buffers=${buffers}MB`,
    `effective_cache_size=${Math.max(256, Math.floor(megabytes / 3))}MB`,
    'work_mem=8MB',
    'maintenance_work_mem=64MB',
    'wal_buffers=16MB',
    'wal_compression=off', // it costs a sixth of the CPU of writing inboxes, and the WAL is bounded anyway
    'min_wal_size=256MB',
    'max_wal_size=2GB',
    'checkpoint_timeout=10min',
    'checkpoint_completion_target=0.9',
    'random_page_cost=1.1',
    'jit=off',
    'autovacuum_max_workers=2',
    'autovacuum_naptime=20s',
    'max_parallel_workers_per_gather=1',
    'wal_level=minimal',
    'max_wal_senders=0',
    'log_checkpoints=off',
    'log_min_duration_statement=5s',
    'timezone=UTC',
    'log_timezone=UTC',
    ...durability,
  ]
}
