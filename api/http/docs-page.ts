/** /docs: the readable page over /openapi.json, from the package's own files. Nothing is loaded from elsewhere. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { OpenAPIHono } from '@hono/zod-openapi'

const SECURITY = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Castor REST</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null })
`

const FILES: { [name: string]: string } = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
}

export function docsPage(app: OpenAPIHono): void {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  const page = (body: string, type: string) =>
    new Response(body, { headers: { ...SECURITY, 'content-type': type, 'cache-control': 'no-cache' } })

  app.get('/docs', () => page(PAGE, 'text/html; charset=utf-8'))
  app.get('/docs/', () => new Response(null, { status: 301, headers: { location: '/docs' } }))
  app.get('/docs/start.js', () => page(START, 'text/javascript; charset=utf-8'))
  for (const [name, type] of Object.entries(FILES)) {
    const content = readFileSync(join(folder, name))
    app.get(
      `/docs/${name}`,
      () => new Response(content, { headers: { ...SECURITY, 'content-type': type, 'cache-control': 'max-age=86400' } }),
    )
  }
}
