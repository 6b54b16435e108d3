/** What every process tells of itself: event loop delay, memory, CPU. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Meter } from '@opentelemetry/api'

const RESOLUTION_MS = 10

export function measureProcess(meter: Meter): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  const started = Date.now()

  meter
    .createObservableGauge('castor_event_loop_delay_seconds', { description: 'Event loop delay since the last collection', unit: 's' })
    .addCallback((result) => {
      // The timer's own interval is part of what it measures.
      const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000) || 0
      result.observe(seconds(delay.percentile(50)), { quantile: '0.5' })
      result.observe(seconds(delay.percentile(99)), { quantile: '0.99' })
      result.observe(seconds(delay.max), { quantile: '1' })
      delay.reset()
    })
  meter.createObservableGauge('castor_memory_bytes', { description: 'Memory of the process', unit: 'By' }).addCallback((result) => {
    const { rss, heapUsed, external } = process.memoryUsage()
    result.observe(rss, { kind: 'rss' })
    result.observe(heapUsed, { kind: 'heap' })
    result.observe(external, { kind: 'external' })
  })
  meter.createObservableCounter('castor_cpu_seconds_total', { description: 'CPU time used', unit: 's' }).addCallback((result) => {
    const { user, system } = process.cpuUsage()
    result.observe(user / 1e6, { kind: 'user' })
    result.observe(system / 1e6, { kind: 'system' })
  })
  meter
    .createObservableGauge('castor_uptime_seconds', { description: 'Since the start of the process', unit: 's' })
    .addCallback((result) => result.observe((Date.now() - started) / 1000))

  return () => delay.disable()
}
