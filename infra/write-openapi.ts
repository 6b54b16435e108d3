/** Writes docs/openapi.json from the registered endpoints: `node infra/write-openapi.ts`, after a change of REST. A test fails on drift. */
import { writeFileSync } from 'node:fs'
import { pino } from 'pino'
import { type AppDeps, createApp } from '../api/app.ts'
import { openApiDocument } from '../api/http/openapi.ts'

// Nothing is asked of what an endpoint needs until it is called.
const app = createApp({ log: pino({ level: 'silent' }) } as unknown as AppDeps)
writeFileSync(new URL('../docs/openapi.json', import.meta.url), `${JSON.stringify(openApiDocument(app), null, 2)}\n`)
