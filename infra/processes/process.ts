/**
 * What every process is made of. infra/processes/{bridge,processor,worker,dispatcher,api}.ts each export a function `startX(context)`, the
 * composition root of that process; infra/processes/main.ts gives it its context and does what all share: configuration, logging,
 * telemetry, the health server, signals, and the end when the supervisor is gone.
 */
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Health } from './health.ts'

export const PROCESS_NAMES = ['bridge', 'processor', 'worker', 'dispatcher', 'api'] as const
export type ProcessName = (typeof PROCESS_NAMES)[number]

export interface ProcessContext {
  config: Config
  log: Logger
  /** This process's health and metrics; `api` also asks it for those of its peers. */
  health: Health
  /**
   * Ends the process with an error, in order, for what it cannot recover from (a worker that failed, a lost stream). The supervisor
   * starts it again. Throwing from startX does the same.
   */
  fail(reason: Error): void
}

export interface RunningProcess {
  /** true when it serves; else why not, for a reader. Called often: it must be cheap and never throw. */
  ready(): boolean | string
  /** Accepts nothing new, finishes what is under way, closes. Called once, and must end within 8 s. */
  stop(): Promise<void>
}

export type StartProcess = (context: ProcessContext) => Promise<RunningProcess>
