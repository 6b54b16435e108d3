/**
 * OpenTelemetry of one process. Metrics are always collected and rendered as Prometheus text on `/metrics`; metrics and traces are
 * pushed by OTLP only where the standard variables name an endpoint. Must run before anything asks for a meter: the API keeps no
 * meters for later.
 */
import { metrics, trace } from '@opentelemetry/api'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, type Resource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationType,
  type IMetricReader,
  InstrumentType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { TelemetryConfig } from '../config.ts'
import { measureProcess } from './process-metrics.ts'

/** Fits what we measure: from a group commit to a twin that waits for Temporal. */
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const EXPORT_INTERVAL_MS = 30_000
const SHUTDOWN_MS = 1_500

export interface Telemetry {
  /** Prometheus text; every sample has the label `process`. */
  render(): Promise<string>
  /** Sends what waits. Never throws: telemetry does not hold up an end. */
  stop(): Promise<void>
}

export function startTelemetry(processName: string, config: TelemetryConfig): Telemetry {
  const resource = describe(processName)
  const prometheus = new PrometheusExporter({ preventServerStart: true })
  const serializer = new PrometheusSerializer(undefined, false, /^process$/, true, true)
  const readers: IMetricReader[] = [prometheus]
  if (config.exportMetrics)
    readers.push(new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), exportIntervalMillis: EXPORT_INTERVAL_MS }))
  const meterProvider = new MeterProvider({
    resource,
    readers,
    views: [
      {
        instrumentName: '*_seconds',
        instrumentType: InstrumentType.HISTOGRAM,
        aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: SECONDS_BUCKETS } },
      },
    ],
  })
  metrics.setGlobalMeterProvider(meterProvider)
  const tracerProvider = config.exportTraces ? startTraces(resource, config) : undefined
  const stopMeasuring = measureProcess(metrics.getMeter('castor'))

  return {
    async render() {
      const { resourceMetrics } = await prometheus.collect()
      return serializer.serialize(resourceMetrics)
    },
    async stop() {
      stopMeasuring()
      const ends = Promise.allSettled([tracerProvider?.shutdown(), meterProvider.shutdown()])
      await Promise.race([ends, new Promise((resolve) => setTimeout(resolve, SHUTDOWN_MS).unref())])
    },
  }
}

/** OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win. */
function describe(processName: string): Resource {
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'castor', process: processName, 'process.pid': process.pid }))
    .merge(detectResources({ detectors: [envDetector] }))
}

function startTraces(resource: Resource, config: TelemetryConfig): TracerProvider {
  const provider = new TracerProvider({
    resource,
    sampler: samplerOf(config),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), maxQueueSize: 4096, exportTimeoutMillis: 10_000 })],
  })
  trace.setGlobalTracerProvider(provider)
  return provider
}

function samplerOf({ sampler, samplerRatio }: TelemetryConfig): Sampler {
  const root = sampler.endsWith('always_on')
    ? new AlwaysOnSampler()
    : sampler.endsWith('always_off')
      ? new AlwaysOffSampler()
      : new TraceIdRatioBasedSampler(samplerRatio)
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}
