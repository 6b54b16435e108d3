/**
 * Logs: JSON lines by pino. A process alone writes them to standard output; under the supervisor into a file of the data folder, and
 * what is noteworthy (warnings and errors; with CASTOR_LOG=debug everything) also goes to the terminal, as one readable line.
 */
import { copyFile, stat, truncate } from 'node:fs/promises'
import { type DestinationStream, type Logger, type LoggerOptions, multistream, pino, type StreamEntry } from 'pino'

export interface LogTarget {
  /** Of the process; stands in every line. */
  name: string
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error'
  /** Without: JSON lines to standard output. */
  file?: string
  /** Gets what is noteworthy, as it stands in the log. */
  note?: (entry: LogEntry) => void
}

export interface LogEntry {
  level: number
  time: number
  name: string
  msg?: string
  err?: { message?: string; code?: string }
}

const WARN = 40
/** A log file that grew beyond this is set aside as `.1`; there is one such copy. */
const MOST_BYTES = 20 * 2 ** 20
/** Lines that could not be written. */
const MOST_WAITING_BYTES = 2 ** 20

export function createLog({ name, level, file, note }: LogTarget): Logger {
  const options: LoggerOptions = {
    level,
    base: { name },
    redact: ['token', 'password', 'authorization', '*.token', '*.password', '*.authorization'],
  }
  if (file === undefined) return pino(options, destination({ dest: 1 }))
  const streams: StreamEntry[] = [{ level, stream: destination({ dest: file, append: true, mkdir: true, mode: 0o600 }) }]
  if (note) {
    const talkative = level === 'debug' || level === 'trace'
    streams.push({ level: talkative ? level : 'warn', stream: { write: (line: string) => note(JSON.parse(line)) } })
  }
  return pino(options, multistream(streams))
}

/**
 * A disk that is full ends no process: without a listener the error would be thrown where something was logged. What cannot be written
 * waits for the next line that can, in bounded memory, and beyond that is gone.
 */
function destination(target: { dest: string | number; append?: boolean; mkdir?: boolean; mode?: number }): DestinationStream {
  return pino.destination({ ...target, sync: true, maxLength: MOST_WAITING_BYTES }).on('error', () => {})
}

/** Warnings of a trouble that many notice, or that goes on for long: one line a while is enough, with how often it was seen since. */
export function quietLog(log: Logger, everyMs: number): (error: unknown, message: string) => void {
  let next = 0
  let left = 0
  return (error, message) => {
    left++
    const now = Date.now()
    if (now < next) return
    log.warn({ err: error, times: left }, message)
    next = now + everyMs
    left = 0
  }
}

/** `12:03:04  bridge: warning: Postgres does not answer (ECONNREFUSED)` */
export function terminalLine({ time, name, level, msg, err }: LogEntry): string {
  const kind = level > WARN ? 'error: ' : level === WARN ? 'warning: ' : ''
  const because = err?.message && err.message !== msg ? ` (${err.message.split('\n')[0]!.slice(0, 200)})` : ''
  return `${new Date(time).toISOString().slice(11, 19)}  ${name}: ${kind}${msg ?? ''}${because}`
}

/** Copy and truncate, because several writers hold the file open for appending. */
export async function boundLogFile(file: string, mostBytes = MOST_BYTES): Promise<void> {
  const size = await stat(file).then(
    (info) => info.size,
    () => 0,
  )
  if (size <= mostBytes) return
  await copyFile(file, `${file}.1`)
  await truncate(file)
}
