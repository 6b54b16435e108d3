/**
 * A trace follows one sampled message from the socket to the decision, through the log, the inbox and the signal: there it travels as a
 * W3C traceparent (version-traceid-spanid-flags), a plain text.
 */
import { type Context, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api'

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/

/** Undefined where the span is not recorded: such a message costs nothing more. */
export function traceparentOf(span: Span): string | undefined {
  if (!span.isRecording()) return undefined
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-0${traceFlags & 1}`
}

/** The context to begin the next span in. Undefined for none, or for what is no traceparent. */
export function contextOf(traceparent: string | undefined): Context | undefined {
  if (traceparent === undefined) return undefined
  const match = TRACEPARENT.exec(traceparent)
  if (match === null) return undefined
  const [, traceId, spanId, flags] = match as unknown as [string, string, string, string]
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true })
}
