/** The activities of all workflows, over the interfaces that they need. A twin's run as local activities: one marker each. */
import { metrics, type Span, SpanStatusCode, trace } from '@opentelemetry/api'
import type { Logger } from 'pino'
import type { ToldUpdate } from '../twin-models/core/types.ts'
import type { TwinKey } from '../twin-models/ids.ts'
import { contextOf } from '../twin-models/traceparent.ts'
import { toFailure } from './failures.ts'
import type { Announcer, Decision, DecisionOutcome, DecisionStore, LastSeen } from './ports.ts'

export interface TwinActivities {
  writeDecision(decision: Decision): Promise<DecisionOutcome>
  confirmDecision(key: TwinKey, revision: number): Promise<DecisionOutcome>
  lastSeen(key: TwinKey): Promise<LastSeen | null>
  sentCommands(key: TwinKey): Promise<string[] | null>
  sentUpdate(key: TwinKey, id: string): Promise<ToldUpdate | null>
}

export interface ActivityDependencies {
  store: DecisionStore
  announcer: Announcer
  log: Logger
}

export function createActivities({ store, announcer, log }: ActivityDependencies): TwinActivities {
  const { decisions, latency } = instruments()

  async function writeDecision(decision: Decision): Promise<DecisionOutcome> {
    const { device, incarnation, acceptedAt } = decision
    const result = await attempt('writeDecision', decision, () => traced(decision, () => store.write(decision)))
    decisions.add(1, { outcome: result.outcome })
    if (result.outcome === 'written' && decision.effects) announcer.announce(incarnation)
    if (result.outcome === 'written' && acceptedAt !== undefined) latency.record(Math.max(Date.now() - acceptedAt, 0) / 1000)
    if (result.outcome !== 'written') log.info({ device, incarnation, outcome: result.outcome }, 'A decision met another state in Postgres')
    return result
  }

  /** Says what fails before it is tried again: Temporal shows a local activity's failures only once it gives up. */
  async function attempt<T>(activity: string, { device, incarnation }: TwinKey, run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      decisions.add(1, { outcome: 'failed' })
      log.warn({ activity, device, incarnation, err: error }, 'An activity of a twin failed')
      throw toFailure(error)
    }
  }

  return {
    writeDecision,
    confirmDecision: (key, revision) => attempt('confirmDecision', key, () => store.confirm(key, revision)),
    lastSeen: (key) => attempt('lastSeen', key, () => store.lastSeen(key)),
    sentCommands: (key) => attempt('sentCommands', key, () => store.sentCommands(key)),
    sentUpdate: (key, id) => attempt('sentUpdate', key, () => store.sentUpdate(key, id)),
  }
}

function instruments() {
  const meter = metrics.getMeter('castor')
  return {
    decisions: meter.createCounter('castor_decisions_total', { description: 'Decision writes, by outcome' }),
    latency: meter.createHistogram('castor_accept_to_decided_seconds', {
      description: 'From the receipt of a message that woke its twin until the decision was committed',
      unit: 's',
      advice: { explicitBucketBoundaries: [0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300] },
    }),
  }
}

/** The span that ends a sampled message's trace: its parent was opened where the message came in. */
async function traced(decision: Decision, run: () => Promise<DecisionOutcome>): Promise<DecisionOutcome> {
  const parent = contextOf(decision.trace)
  if (!parent) return run()
  const attributes = { 'castor.tenant': decision.tenant, 'castor.device': decision.device, 'castor.seq': decision.seq }
  return trace.getTracer('castor').startActiveSpan('castor.decide', { attributes }, parent, async (span: Span) => {
    try {
      const result = await run()
      span.setAttributes({ 'castor.outcome': result.outcome, 'castor.events': decision.events.length })
      return result
    } catch (error) {
      span.recordException(error as Error)
      span.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span.end()
    }
  })
}
