/**
 * A server of the Open Inference Protocol v2 over HTTP with one model, for the simulator, the documentation and the tests: metadata, health and
 * inference as the specification has them (https://github.com/kserve/open-inference-protocol), and refusals that say what is wrong.
 */
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { PUMP_INPUTS, PUMP_MODEL, scorePump } from './pump-model.ts'
import { type InferBody, InferenceError, rowsOf } from './request.ts'

export const SERVER = { name: 'castor-reference', version: '1', extensions: [] as string[] }

const MOST_BYTES = 1_048_576

export function createInferenceServer(): Hono {
  const app = new Hono()
  app.get('/v2', (c) => c.json(SERVER))
  app.get('/v2/health/live', (c) => c.json({ live: true }))
  app.get('/v2/health/ready', (c) => c.json({ ready: true }))
  const limit = bodyLimit({ maxSize: MOST_BYTES, onError: () => refuse(413, `A request has at most ${MOST_BYTES} bytes`) })
  for (const path of ['/v2/models/:name', '/v2/models/:name/versions/:version']) {
    app.get(path, (c) => known(c.req.param()) ?? c.json(PUMP_MODEL))
    app.get(`${path}/ready`, (c) => known(c.req.param()) ?? c.json({ name: PUMP_MODEL.name, ready: true }))
    app.post(`${path}/infer`, limit, async (c) => known(c.req.param()) ?? infer(await c.req.text()))
  }
  app.notFound((c) => refuse(404, `There is nothing at ${c.req.path}`))
  return app
}

/** Undefined: it is. */
function known({ name, version }: { name?: string; version?: string }): Response | undefined {
  if (name !== PUMP_MODEL.name) return refuse(404, `There is no model ${name}: there is ${PUMP_MODEL.name}`)
  if (version === undefined || (PUMP_MODEL.versions as readonly string[]).includes(version)) return undefined
  return refuse(404, `The model ${name} has no version ${version}: it has ${PUMP_MODEL.versions.join(', ')}`)
}

function infer(text: string): Response {
  try {
    const body = parsed(text)
    const rows = rowsOf(body, { tensor: PUMP_MODEL.inputs[0].name, columns: PUMP_INPUTS.length })
    const wanted = outputsOf(body)
    const scores = rows.map(scorePump)
    const outputs = PUMP_MODEL.outputs
      .filter(({ name }) => wanted === undefined || wanted.includes(name))
      .map(({ name, datatype }) => ({ name, datatype, shape: [rows.length], data: scores.map((score) => score[name]) }))
    const id = typeof body.id === 'string' && { id: body.id }
    return Response.json({ model_name: PUMP_MODEL.name, model_version: PUMP_MODEL.versions[0], ...id, outputs })
  } catch (error) {
    if (error instanceof InferenceError) return refuse(400, error.message)
    throw error
  }
}

function parsed(text: string): InferBody {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new InferenceError('The request is not JSON')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new InferenceError('The request must be an object')
  return body
}

/** Undefined: all. */
function outputsOf({ outputs }: InferBody): string[] | undefined {
  if (outputs === undefined) return undefined
  if (!Array.isArray(outputs)) throw new InferenceError('outputs must be a list')
  const names = outputs.map((output: { name?: unknown } | null) => String(output?.name))
  const unknown = names.find((name) => !PUMP_MODEL.outputs.some((output) => output.name === name))
  if (unknown !== undefined)
    throw new InferenceError(`There is no output ${unknown}: there are ${PUMP_MODEL.outputs.map(({ name }) => name).join(', ')}`)
  return names.length === 0 ? undefined : names
}

function refuse(status: number, error: string): Response {
  return Response.json({ error }, { status })
}
