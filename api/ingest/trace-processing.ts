/** The second span of a sampled message: from reading it out of the log to the commit of what it changed. The twin's span follows it. */
import { type Span, trace } from '@opentelemetry/api'
import { contextOf, traceparentOf } from '../../twin-models/traceparent.ts'
import type { LogMessage } from './log-reader.ts'

export function traceProcessing(messages: LogMessage[]): Span[] {
  const spans: Span[] = []
  for (const message of messages) {
    const parent = contextOf(message.trace)
    if (parent === undefined) continue
    const attributes = { 'castor.kind': message.kind, 'castor.incarnation': message.incarnation }
    const span = trace.getTracer('castor').startSpan('castor.process', { attributes }, parent)
    const traceparent = traceparentOf(span)
    if (traceparent !== undefined) message.trace = traceparent
    spans.push(span)
  }
  return spans
}
