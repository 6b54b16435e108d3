/** What the supervisor and its processes say to each other, over the channel that Node gives to a forked process. */
import type { LogEntry } from '../log.ts'

export type ToSupervisor =
  /** For the terminal. */
  | { kind: 'note'; entry: LogEntry }
  /** Why it is going to end. */
  | { kind: 'failed'; reason: string }
  /** It got SIGTERM or SIGINT, maybe alone, maybe with the whole group: the supervisor knows. */
  | { kind: 'signalled'; signal: string }

export type ToProcess = { kind: 'stop' }
