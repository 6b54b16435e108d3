/** What operators and tools ask without a credential: health, readiness, metrics, the OpenAPI document. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Status } from '../ports.ts'
import { openApiDocument } from './openapi.ts'

export function systemEndpoints(app: OpenAPIHono, methods: Map<string, string[]>, status: Status): void {
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']) methods.set(path, ['GET'])
  let openApi: string | undefined

  app.get('/healthz', () => json('{"status":"ok"}', 200))
  app.get('/readyz', async () => {
    const { ready, processes } = await status.readyAll()
    return json(JSON.stringify({ status: ready ? 'ready' : 'not ready', processes }), ready ? 200 : 503)
  })
  app.get('/metrics', async () => {
    const text = await status.metricsAll()
    return new Response(text, { headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' } })
  })
  app.get('/openapi.json', () => {
    openApi ??= JSON.stringify(openApiDocument(app))
    return json(openApi, 200)
  })
}

function json(body: string, status: number): Response {
  return new Response(body, { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } })
}
