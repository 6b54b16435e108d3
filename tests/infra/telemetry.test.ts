import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metrics, trace } from '@opentelemetry/api'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { readConfig } from '../../infra/config.ts'
import { createHealth, type HealthServer, serveHealth } from '../../infra/processes/health-server.ts'
import { startTelemetry } from '../../infra/telemetry/setup.ts'

afterEach(() => {
  metrics.disable()
  trace.disable()
  vi.unstubAllEnvs()
})

describe('telemetry', () => {
  test('renders what was measured as Prometheus text with the process as a label, in buckets that fit seconds', async () => {
    const telemetry = startTelemetry('bridge', readConfig({}).telemetry)
    const meter = metrics.getMeter('castor')
    meter.createCounter('castor_things_total', { description: 'Things' }).add(2, { kind: 'a' })
    meter.createHistogram('castor_wait_seconds', { unit: 's' }).record(0.02)
    const text = await telemetry.render()
    expect(text).toContain('# TYPE castor_things_total counter\ncastor_things_total{kind="a",process="bridge"} 2')
    expect(text).toContain('castor_wait_seconds_bucket{process="bridge",le="0.01"} 0')
    expect(text).toContain('castor_wait_seconds_bucket{process="bridge",le="0.025"} 1')
    expect(text).toMatch(/castor_event_loop_delay_seconds\{quantile="0.99",process="bridge"\} [\d.e-]+/)
    await telemetry.stop()
  })

  test('pushes metrics and traces where the standard variable says, and sends what waits at the end', async () => {
    const paths = new Set<string>()
    const collector = createServer((request, response) => {
      paths.add(request.url!)
      request.resume().once('end', () => response.writeHead(200).end())
    })
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', endpoint)
    const telemetry = startTelemetry(
      'api',
      readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'always_on' }).telemetry,
    )
    metrics.getMeter('castor').createCounter('castor_things_total').add(1)
    const span = trace.getTracer('castor').startSpan('a span')
    expect(span.isRecording()).toBe(true)
    span.end()
    await telemetry.stop()
    expect([...paths].sort()).toEqual(['/v1/metrics', '/v1/traces'])
    collector.close()
  })

  test('records no trace where nobody wants one, and few by default where somebody does', () => {
    expect(trace.getTracer('castor').startSpan('a span').isRecording()).toBe(false)
    expect(readConfig({}).telemetry).toMatchObject({ sampler: 'parentbased_traceidratio', samplerRatio: 0.001 })
    expect(readConfig({ OTEL_TRACES_SAMPLER_ARG: '0.5' }).telemetry.samplerRatio).toBe(0.5)
    expect(() => readConfig({ OTEL_TRACES_SAMPLER_ARG: '2' })).toThrow(/OTEL_TRACES_SAMPLER_ARG/)
  })
})

describe('health of a process and its peers', () => {
  const servers: HealthServer[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })

  async function process(name: string, ready: true | string) {
    const health = createHealth({ name, ready: () => ready, metrics: async () => `castor_up{process="${name}"} 1\n`, peers: [] })
    const server = await serveHealth(health, '127.0.0.1', 0)
    servers.push(server)
    return { name, url: `http://127.0.0.1:${server.port}` }
  }

  test('answers on its port', async () => {
    const { url } = await process('worker', 'it is starting')
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    const ready = await fetch(`${url}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([503, { ready: false, processes: { worker: 'it is starting' } }])
    expect(await (await fetch(`${url}/metrics`)).text()).toBe('castor_up{process="worker"} 1\n')
    expect((await fetch(`${url}/nothing`)).status).toBe(404)
    const post = await fetch(`${url}/readyz`, { method: 'POST' })
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('all are ready only when every peer serves, and one that does not answer is named', async () => {
    const gone = await process('bridge', true)
    servers.pop()!.close()
    const peers = [{ name: 'api', url: 'http://127.0.0.1:9' }, await process('worker', true)]
    const api = (peersOf: typeof peers) =>
      createHealth({ name: 'api', ready: () => true, metrics: async () => 'castor_up{process="api"} 1\n', peers: peersOf })
    expect(await api(peers).readyAll()).toEqual({ ready: true, processes: { api: true, worker: true } })
    expect(await api([...peers, gone]).readyAll()).toEqual({
      ready: false,
      processes: { api: true, worker: true, bridge: 'it does not answer' },
    })
    expect(await api([...peers, gone]).metricsAll()).toBe('castor_up{process="api"} 1\ncastor_up{process="worker"} 1\n')
  })
})
