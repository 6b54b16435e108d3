/** Model servers: the reference one, and those that answer as a test says. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { createInferenceServer } from '../../infra/simulator/inference/server.ts'
import { predictionModelRequest } from '../../twin-models/schemas/prediction-model.ts'

export interface ModelServer {
  url: string
  stop(): Promise<void>
}

/** The reference model of the simulator. */
export async function referenceServer(): Promise<ModelServer> {
  return listening(createAdaptorServer({ fetch: createInferenceServer().fetch }) as Server)
}

export interface PlayedServer extends ModelServer {
  requests: Array<{ method: string; path: string; headers: IncomingMessage['headers']; body: string }>
  answer: RequestListener
}

/** Keeps what came, and answers as told; at first with a probability of 0.9. */
export async function playedServer(): Promise<PlayedServer> {
  const requests: PlayedServer['requests'] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url: path = '', headers } = request
    requests.push({ method, path, headers, body: Buffer.concat(chunks).toString() })
    played.answer(request, response)
  })
  const played: PlayedServer = { ...(await listening(server)), requests, answer: (_, response) => response.end(inference(0.9)) }
  return played
}

/** The body of an answer; `more` replaces parts of it. */
export function inference(probability: unknown, more: object = {}): string {
  const output = { name: 'probability', datatype: 'FP64', shape: [1], data: [probability] }
  return JSON.stringify({ model_name: 'm', model_version: '7', outputs: [output], ...more })
}

/** As it is put over REST, and parsed: about the pump of the reference server, unless something else is said. */
export function modelSettings(url: string, more: object = {}) {
  return predictionModelRequest.parse(modelBody(url, more))
}

export function modelBody(url: string, more: object = {}) {
  return {
    url,
    model: 'pump-failure',
    tensor: 'features',
    inputs: [
      { name: 'vibration', path: 'telemetry.vibration.value' },
      { name: 'vibrationChange', path: 'telemetry.vibration.value', over: '1d', take: 'change' },
      { name: 'temperature', path: 'telemetry.temperature.value', default: 42 },
    ],
    output: { probability: 'probability', explanation: 'explanation' },
    horizon: '48h',
    threshold: 0.7,
    ...more,
  }
}

async function listening(server: Server): Promise<ModelServer> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
