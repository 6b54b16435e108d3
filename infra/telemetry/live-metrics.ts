/** What the live stream tells of itself (docs/operations.md lists all metrics). */
import { metrics } from '@opentelemetry/api'
import type { LiveStreams } from '../../api/live/live.ts'

/** For the live stream, which is made after it. */
export function measureOffered(): (ageMs: number) => void {
  const delay = metrics.getMeter('castor').createHistogram('castor_stream_delay_seconds', {
    description: 'Age of the oldest event when it is offered to readers of the live stream',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10] },
  })
  return (ageMs) => delay.record(ageMs / 1000)
}

export function measureLive(live: LiveStreams): void {
  const meter = metrics.getMeter('castor')
  meter
    .createObservableGauge('castor_stream_readers', { description: 'Open live streams' })
    .addCallback((result) => result.observe(live.readers))
  meter
    .createObservableGauge('castor_stream_readers_behind', { description: 'Live streams that read what is no longer in memory' })
    .addCallback((result) => result.observe(live.behind))
  meter
    .createObservableCounter('castor_stream_events_total', { description: 'Events sent to live streams, by type' })
    .addCallback((result) => {
      for (const [type, count] of live.sent) result.observe(count, { type })
    })
  meter
    .createObservableCounter('castor_stream_gaps_total', { description: 'Gaps told to live streams' })
    .addCallback((result) => result.observe(live.gaps))
}
