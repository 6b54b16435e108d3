/** How tests speak to a running Castor: REST with the admin key, and devices over MQTT. */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'

/** What tests read out of answers: wrong guesses fail the test anyway. */
// biome-ignore lint/suspicious/noExplicitAny: every use is an assertion
export type Json = any

export interface Answer {
  status: number
  headers: Headers
  body: Json
}

export type RestClient = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>

/** Longer than Castor itself lets anybody wait. */
const REQUEST_TIMEOUT_MS = 40_000

export function restClient(url: string, key: string): RestClient {
  return async (method, path, body, headers) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : jsonOr(text) }
  }
}

/** Connects once; rejects with the broker's refusal (`code` is the CONNACK's). It never reconnects by itself. */
export async function connectDevice(url: string, device: string, token: string, options: IClientOptions = {}): Promise<MqttClient> {
  return mqtt.connectAsync(
    url,
    { clientId: device, username: `demo/${device}`, password: token, protocolVersion: 4, reconnectPeriod: 0, ...options },
    false,
  )
}

export function topicOf(device: string, path: string): string {
  return `castor/v1/demo/${device}/${path}`
}

function jsonOr(text: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
