/**
 * Group commit into the ingest log (docs/architecture.md §3.4).
 *
 * One commit is in flight at a time; what gathers meanwhile is the next. A commit of unknown outcome is tried again with the same
 * numbers and the same time until its outcome is known, so the log has neither gaps nor repeats. A heartbeat entry closes the first
 * commit of every second, under load too: its `at` lies after all that was accepted before and before all that comes later, which
 * lets the watermark move. A stream that a processor closed (we were silent too long) is followed by a new one.
 *
 * Runs for every message of every device: no promise and no closure a message in here.
 */
import type { Logger } from 'pino'
import { CastorError } from '../../twin-models/errors.ts'
import { encodeCommit } from './commit.ts'
import type { Commit, Done, IngestLogStore, IngestLogWriter, Message } from './log.ts'

export interface WriterLimits {
  /** What may wait, in flight included. Beyond, pushes are refused. */
  maxBytes: number
  maxMessages: number
  /** Most in one commit. */
  commitBytes: number
  commitMessages: number
}

export const WRITER_LIMITS: WriterLimits = { maxBytes: 64 * 2 ** 20, maxMessages: 200_000, commitBytes: 4 * 2 ** 20, commitMessages: 8192 }

export interface WriterOptions {
  store: IngestLogStore
  log: Logger
  limits?: WriterLimits
  heartbeatMs?: number
  /** Epoch milliseconds. */
  now?: () => number
  /** Waits before a commit is tried again; injected by tests. */
  backoff?: (attempt: number) => Promise<void>
  /** A new stream replaced one that somebody closed. */
  onStreamChanged?: (stream: number) => void
  onCommit?: (commit: Commit, messages: number, milliseconds: number) => void
}

export interface GroupCommitWriter extends IngestLogWriter {
  readonly stream: number
  /** What waits, in flight included. */
  readonly waiting: { messages: number; bytes: number }
  /** How long the commit in flight has been failing; 0 when all is well. */
  failingForMs(): number
}

/** Bookkeeping of one waiting message, so that many empty ones are bounded too. */
const OVERHEAD_BYTES = 128

export async function openWriter(options: WriterOptions): Promise<GroupCommitWriter> {
  const { store, log, limits = WRITER_LIMITS, heartbeatMs = 1000, now = Date.now, backoff = wait } = options
  let stream = await store.open()
  let seq = 1
  let queue: Message[] = []
  let dones: Done[] = []
  let waitingMessages = 0
  let waitingBytes = 0
  let latest = now()
  let beatDue = true
  let committing = false
  let failingSince = 0
  let closing: { deadline: number; closed: () => void } | undefined
  const beat = setInterval(heartbeat, heartbeatMs)
  beat.unref()
  schedule()

  return {
    get stream() {
      return stream
    },
    get waiting() {
      return { messages: waitingMessages, bytes: waitingBytes }
    },
    failingForMs: () => (failingSince === 0 ? 0 : performance.now() - failingSince),
    push,
    append: (message) => new Promise((resolve, reject) => push(message, (error) => (error ? reject(error) : resolve()))),
    close,
  }

  function push(message: Message, done: Done): void {
    const refusal = refusalOf(message)
    if (refusal) {
      queueMicrotask(() => done(refusal))
      return
    }
    if (message.receivedAt < latest) message.receivedAt = latest
    else latest = message.receivedAt
    waitingMessages++
    waitingBytes += message.payload.length + OVERHEAD_BYTES
    queue.push(message)
    dones.push(done)
    if (!committing) schedule()
  }

  function refusalOf(message: Message): CastorError | undefined {
    if (closing) return new CastorError('unavailable', 'This bridge is stopping. Connect again.', { retryAfterSeconds: 1 })
    // A disconnect always has room: there is one a connection, and connections are bounded.
    if (message.kind === 'disconnect') return undefined
    if (waitingBytes < limits.maxBytes && waitingMessages < limits.maxMessages) return undefined
    return failingSince > 0
      ? new CastorError('unavailable', 'The store of messages does not answer. Send it again later.', { retryAfterSeconds: 5 })
      : new CastorError('too-many-requests', 'More messages come than can be stored. Send it again later.', { retryAfterSeconds: 2 })
  }

  function heartbeat(): void {
    beatDue = true
    if (!committing) schedule()
  }

  /** Not at once: what the sockets hold in this turn of the event loop joins. */
  function schedule(): void {
    committing = true
    setImmediate(commitNext)
  }

  async function commitNext(): Promise<void> {
    const count = nextCount()
    const messages = count === queue.length ? queue : queue.splice(0, count)
    const callbacks = count === dones.length ? dones : dones.splice(0, count)
    if (messages === queue) queue = []
    if (callbacks === dones) dones = []
    const started = performance.now()
    const commit = encode(messages, takeBeat())
    const error = commit.lanes.length > 0 ? await persist(commit) : undefined
    if (!error) options.onCommit?.(commit, messages.length, performance.now() - started)
    settle(messages, callbacks, error)
    if (queue.length > 0 || beatDue) schedule()
    else {
      committing = false
      closing?.closed()
    }
  }

  function nextCount(): number {
    if (queue.length <= limits.commitMessages && waitingBytes <= limits.commitBytes) return queue.length
    let bytes = 0
    let count = 0
    while (count < queue.length && count < limits.commitMessages && bytes < limits.commitBytes) bytes += queue[count++]!.payload.length
    return count
  }

  function takeBeat(): boolean {
    const due = beatDue
    beatDue = false
    return due
  }

  function encode(messages: Message[], withBeat: boolean): Commit {
    latest = Math.max(latest, now())
    return encodeCommit(stream, seq, latest, messages, withBeat)
  }

  /** Undefined when written; an error only when the writer closes first. */
  async function persist(commit: Commit): Promise<CastorError | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        if ((await store.write(commit)) === 'written') {
          if (failingSince > 0) log.info({ attempts: attempt }, 'The ingest log takes messages again')
          failingSince = 0
          seq = commit.seq + commit.lanes.length
          return undefined
        }
        await followStream(commit)
      } catch (error) {
        if (failingSince === 0) failingSince = performance.now()
        if (attempt === 1 || attempt % 20 === 0) log.warn({ err: error, attempt }, 'A commit into the ingest log failed; it is tried again')
        if (closing && Date.now() >= closing.deadline)
          return new CastorError('unavailable', 'The message could not be stored before the bridge stopped.', { retryAfterSeconds: 5 })
        await backoff(attempt)
      }
    }
  }

  async function followStream(commit: Commit): Promise<void> {
    const old = commit.stream
    commit.stream = await store.open()
    commit.seq = 1
    stream = commit.stream
    log.warn({ old, stream }, 'Our stream was closed by a processor, as we had been silent too long; a new one is open')
    // After this commit's own bookkeeping: what the callee pushes belongs to the next.
    setImmediate(() => options.onStreamChanged?.(stream))
  }

  function settle(messages: Message[], callbacks: Done[], error: CastorError | undefined): void {
    waitingMessages -= messages.length
    for (let i = 0; i < messages.length; i++) waitingBytes -= messages[i]!.payload.length + OVERHEAD_BYTES
    for (let i = 0; i < callbacks.length; i++) {
      try {
        callbacks[i]!(error)
      } catch (thrown) {
        log.error({ err: thrown }, 'A caller of the ingest log threw')
      }
    }
  }

  async function close(deadlineMs = 5000): Promise<void> {
    if (closing) return
    clearInterval(beat)
    await new Promise<void>((closed) => {
      closing = { deadline: Date.now() + deadlineMs, closed }
      beatDue = false
      if (!committing) closed()
    })
    try {
      if (failingSince === 0) await store.close(stream)
    } catch (error) {
      log.warn({ err: error }, 'The stream could not be closed; a processor will do it')
    }
    await store.end()
  }
}

/** 50 ms, doubling to 2 s, with jitter. */
function wait(attempt: number): Promise<void> {
  const ceiling = Math.min(2000, 50 * 2 ** Math.min(attempt, 10))
  return new Promise((resolve) => setTimeout(resolve, ceiling * (0.5 + Math.random() / 2)))
}
