/** What the processor says of itself (docs/operations.md lists all metrics). */
import { metrics } from '@opentelemetry/api'
import type { Processor, TickReport } from '../../api/ingest/processor.ts'

/** Latencies recorded of one tick: enough for percentiles, and no cost that grows with the load. */
const SAMPLES_PER_TICK = 64

export function processorMetrics(processor: Processor): { tick(report: TickReport): void } {
  const meter = metrics.getMeter('castor')
  const messages = meter.createCounter('castor_messages_processed_total', {
    description: 'Messages processed from the ingest log, by kind',
  })
  const values = meter.createCounter('castor_values_stored_total', { description: 'Telemetry values written' })
  const deadLetters = meter.createCounter('castor_dead_letters_total', { description: 'Messages that became dead letters, by reason' })
  const dropped = meter.createCounter('castor_messages_dropped_total', { description: 'Messages of registrations that ended' })
  const seals = meter.createCounter('castor_seals_total', { description: 'Batches sealed for twins' })
  const latency = meter.createHistogram('castor_accept_to_processed_seconds', {
    description: 'From receipt to commit of the processing',
    unit: 's',
  })
  let lagMs = 0

  gauge('castor_lane_lag_seconds', 'Age of the oldest entry in the last tick', () => lagMs / 1000)
  gauge('castor_watermark_age_seconds', 'Age of the watermark: everything accepted before it is processed', () =>
    processor.watermark === 0 ? 0 : (Date.now() - processor.watermark) / 1000,
  )
  gauge('castor_lanes_owned', 'Lanes that this processor owns', () => processor.lanes.length)
  gauge('castor_inbox_waiting', 'Twins with news that waits for its time', () => processor.seals.waiting)
  gauge('castor_inbox_urgent_age_seconds', 'Age of the oldest urgent news that is not under way', () => {
    const since = processor.seals.oldestUrgent
    return since === null ? 0 : Math.max(0, Date.now() - since) / 1000
  })
  gauge('castor_seals_unanswered', 'Seals under way to their twins', () => processor.seals.unanswered)
  gauge('castor_seals_pace', 'Seals that may be unanswered at once', () => processor.seals.pace.limit)
  gauge('castor_devices_cached', 'Devices in memory', () => processor.cachedDevices)

  function gauge(name: string, description: string, read: () => number): void {
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(read()))
  }

  return {
    tick: ({ messages: batch, changes, lagMs: lag, sealed, dropped: gone }) => {
      lagMs = lag
      const kinds = new Map<string, number>()
      for (const { kind } of batch) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      for (const [kind, count] of kinds) messages.add(count, { kind })
      for (const { reason } of changes.deadLetters) deadLetters.add(1, { reason })
      const stored = changes.news.length + changes.late.length
      if (stored > 0) values.add(stored)
      if (gone > 0) dropped.add(gone)
      if (sealed > 0) seals.add(sealed)
      const now = Date.now()
      const step = Math.max(1, Math.ceil(batch.length / SAMPLES_PER_TICK))
      for (let n = 0; n < batch.length; n += step) latency.record(Math.max(0, now - batch[n]!.receivedAt) / 1000)
    },
  }
}
