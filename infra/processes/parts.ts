/** The parts of `npm start`, as the supervisor runs them: a process of ours, embedded Postgres, the Temporal dev server. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../config.ts'
import type { LogEntry } from '../log.ts'
import { type EmbeddedOptions, startEmbeddedPostgres } from '../postgres/embedded.ts'
import { startTemporalServer, type TemporalServerOptions } from '../temporal/server.ts'
import { identityOf, type ProcessIdentity } from './identity.ts'
import type { ToProcess, ToSupervisor } from './messages.ts'
import type { Part, RunningPart } from './supervisor.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))

export interface ProcessPartOptions {
  name: string
  env: Record<string, string | undefined>
  /** What it prints beside its log (a crash, mostly). */
  logFile: string
  stopMs: number
  note: (entry: LogEntry) => void
  /** It got a signal that may be meant for it alone. */
  onSignalled: (name: string) => void
  /** Arguments of node; for tests. Default: this process of ours. */
  args?: string[]
}

export function processPart({ name, env, logFile, stopMs, note, onSignalled, args }: ProcessPartOptions): Part {
  return {
    name,
    stopMs,
    async start(): Promise<RunningPart> {
      const log = openSync(logFile, 'a', 0o600)
      const child = spawn(process.execPath, args ?? [MAIN, name], {
        env: childEnvironment(env),
        stdio: ['ignore', log, log, 'ipc'],
      })
      closeSync(log)
      let reason: string | undefined
      child.on('message', (message: ToSupervisor) => {
        if (message.kind === 'note') note(message.entry)
        else if (message.kind === 'failed') reason = message.reason
        else onSignalled(name)
      })
      const ended = new Promise<string>((resolve) => {
        child.once('error', (error) => resolve(error.message))
        child.once('exit', (code, signal) => resolve(reason ?? (signal ? `killed by ${signal}` : `exit status ${code}, see ${logFile}`)))
      })
      const identity = child.pid === undefined ? null : identityOf(child.pid)
      if (!identity) throw new Error(await ended)
      return {
        identity,
        ended,
        async stop(withinMs) {
          if (child.connected) child.send({ kind: 'stop' } satisfies ToProcess, () => {})
          const timer = setTimeout(() => child.kill('SIGKILL'), withinMs)
          await ended
          clearTimeout(timer)
        },
      }
    },
  }
}

/** `onReady` gets the URL; it is the same after a restart. */
export function postgresPart(options: EmbeddedOptions, onReady: (url: string) => void): Part {
  return {
    name: 'postgres',
    stopMs: 5_000,
    async start(signal) {
      const postgres = await startEmbeddedPostgres({ ...options, signal })
      onReady(postgres.url)
      return serverPart(postgres, options.logFile)
    },
  }
}

export function temporalPart(options: TemporalServerOptions): Part {
  return {
    name: 'temporal',
    stopMs: 3_000,
    start: async (signal) => serverPart(await startTemporalServer({ ...options, signal }), options.logFile),
  }
}

interface Server {
  identity: ProcessIdentity
  ended: Promise<string>
  stop(): Promise<void>
}

function serverPart({ identity, ended, stop }: Server, logFile: string): RunningPart {
  return {
    identity,
    ended: ended.then((how) => `${how}, see ${logFile}`),
    async stop(withinMs) {
      const timer = setTimeout(() => killQuietly(identity.pid), withinMs)
      await stop()
      await ended
      clearTimeout(timer)
    },
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
