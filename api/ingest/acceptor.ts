/**
 * Where a message is taken in, whatever it came by: refused aloud when nothing can be stored, else appended, counted, and for a few
 * traced from here on (docs/architecture.md §2).
 */

import { metrics, type Span, SpanKind, trace } from '@opentelemetry/api'
import type { CastorError } from '../../twin-models/errors.ts'
import { traceparentOf } from '../../twin-models/traceparent.ts'
import type { Done, IngestLogWriter, Message } from './log.ts'

export type Protocol = 'mqtt' | 'http'

/** Larger messages are refused by HTTP; by MQTT, which cannot say so, their beginning is kept for a dead letter. */
export const MAX_PAYLOAD = 256 * 1024
/** A larger one ends the connection. */
export const MAX_PACKET = 1024 * 1024
const KEPT_OF_OVERSIZED = 4096

export interface Acceptor {
  /** Why nothing is accepted at the moment, or undefined. */
  refusal(): CastorError | undefined
  /** `done` is called when the message is durable, or with why it is not; in the order of the calls, never from within this one. */
  accept(message: Message, protocol: Protocol, done: Done): void
  /** Appends a message of our own (connect, disconnect, will): neither refused for want of disk nor counted. */
  note(message: Message, done: Done): void
  /** Counts what was refused before it became a message. */
  refused(protocol: Protocol, reason: string): void
}

export interface AcceptorOptions {
  log: IngestLogWriter
  refusal: () => CastorError | undefined
  /** Every nth message is offered to the tracer, whose sampler decides. */
  traceOneIn?: number
  measureOneIn?: number
}

export function createAcceptor({ log, refusal, traceOneIn = 1000, measureOneIn = 16 }: AcceptorOptions): Acceptor {
  const tracer = trace.getTracer('castor')
  const count = createCounts()
  let turn = 0

  return {
    refusal,
    refused: count.refused,
    note: (message, done) => log.push(message, done),
    accept(message, protocol, done) {
      const why = refusal()
      if (why) {
        count.refused(protocol, why.code)
        queueMicrotask(() => done(why))
        return
      }
      turn++
      const span = turn % traceOneIn === 0 ? startSpan(message, protocol) : undefined
      const started = turn % measureOneIn === 0 ? performance.now() : 0
      log.push(message, (error) => {
        if (error) count.refused(protocol, error.code)
        else count.accepted(protocol)
        if (started > 0) count.took(protocol, performance.now() - started)
        if (span) endSpan(span, error)
        done(error)
      })
    },
  }

  function startSpan(message: Message, protocol: Protocol): Span {
    const span = tracer.startSpan('castor.accept', {
      kind: SpanKind.SERVER,
      attributes: { 'castor.protocol': protocol, 'castor.kind': message.kind, 'castor.incarnation': message.incarnation },
    })
    const traceparent = traceparentOf(span)
    if (traceparent !== undefined) message.trace = traceparent
    return span
  }
}

function endSpan(span: Span, error: CastorError | undefined): void {
  if (error) span.recordException(error)
  span.end()
}

/** What of a payload goes into the log, and its whole size. */
export function keep(payload: Uint8Array): { payload: Uint8Array; size: number } {
  const size = payload.length
  return size <= MAX_PAYLOAD ? { payload, size } : { payload: new Uint8Array(payload.subarray(0, KEPT_OF_OVERSIZED)), size }
}

/** Plain numbers, read when metrics are collected: thirty thousand a second are too many for attributes and instruments each. */
function createCounts() {
  const meter = metrics.getMeter('castor')
  const accepted: Record<Protocol, number> = { mqtt: 0, http: 0 }
  const refused = new Map<string, { protocol: Protocol; reason: string; count: number }>()
  const seconds = meter.createHistogram('castor_accept_seconds', {
    description: 'From receipt to the durable commit (a sample of the messages)',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  })
  meter.createObservableCounter('castor_accepted_messages_total', { description: 'Messages durably accepted' }).addCallback((result) => {
    for (const protocol of ['mqtt', 'http'] as const) result.observe(accepted[protocol], { protocol })
  })
  meter.createObservableCounter('castor_refused_messages_total', { description: 'Messages refused, by reason' }).addCallback((result) => {
    for (const { protocol, reason, count } of refused.values()) result.observe(count, { protocol, reason })
  })
  return {
    accepted(protocol: Protocol): void {
      accepted[protocol]++
    },
    refused(protocol: Protocol, reason: string): void {
      const key = `${protocol} ${reason}`
      const entry = refused.get(key)
      if (entry) entry.count++
      else refused.set(key, { protocol, reason, count: 1 })
    },
    took(protocol: Protocol, milliseconds: number): void {
      seconds.record(milliseconds / 1000, { protocol })
    },
  }
}
