/**
 * Health and metrics of a process, and of its peers under one supervisor. Every process serves them on a small port of its own
 * (infra/processes/health-server.ts); `api` shows the whole of them on CASTOR_HTTP_PORT.
 */
export interface Health {
  /** This process alone. */
  ready(): Readiness
  /** This process and its peers (CASTOR_PEERS): ready only when every one serves. Without peers the same as ready(). */
  readyAll(): Promise<Readiness>
  /** Prometheus text of this process. */
  metrics(): Promise<string>
  /** Prometheus text of this process and its peers, merged. */
  metricsAll(): Promise<string>
}

export interface Readiness {
  ready: boolean
  /** Process name → true, or why it does not serve. */
  processes: Record<string, true | string>
}
