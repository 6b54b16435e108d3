/** The Temporal runtime of a process is installed once, by whichever worker of a test comes first. */
import { DefaultLogger, Runtime } from '@temporalio/worker'

let logger: DefaultLogger | undefined

export function installedRuntime(): DefaultLogger {
  if (logger) return logger
  logger = new DefaultLogger('ERROR')
  const telemetryOptions = { logging: { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } } as const
  Runtime.install({ logger, shutdownSignals: [], telemetryOptions })
  return logger
}
