/** The sockets that devices connect to: MQTT and HTTP, and the same over TLS when there is a certificate. */
import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { createAdaptorServer } from '@hono/node-server'
import type { Logger } from 'pino'
import { type Config, ConfigError } from './config.ts'
import type { MqttBroker } from './mqtt/broker.ts'

const MOST_MQTT_CONNECTIONS = 50_000
const MOST_HTTP_CONNECTIONS = 10_000

export interface Certificate {
  cert: Buffer
  key: Buffer
}

export async function readCertificate({ mqttCertFile, mqttKeyFile }: Config): Promise<Certificate | undefined> {
  if (!mqttCertFile && !mqttKeyFile) return undefined
  if (!mqttCertFile || !mqttKeyFile) throw new ConfigError('MQTT_CERT_FILE and MQTT_KEY_FILE belong together: set both, or none.')
  const read = (name: string, file: string) =>
    readFile(file).catch((error: Error) => {
      throw new ConfigError(`${name}: ${error.message}`)
    })
  return { cert: await read('MQTT_CERT_FILE', mqttCertFile), key: await read('MQTT_KEY_FILE', mqttKeyFile) }
}

/** Those that listen. */
export interface DeviceServers {
  mqtt: net.Server[]
  http: HttpServer[]
}

type Fetch = (request: Request) => Response | Promise<Response>

export interface DeviceServerOptions {
  config: Config
  certificate: Certificate | undefined
  broker: MqttBroker
  fetch: Fetch
  log: Logger
}

/** Adds each server as soon as it listens, so that those can be closed when a later one fails. */
export async function listenForDevices(
  servers: DeviceServers,
  { config, certificate, broker, fetch, log }: DeviceServerOptions,
): Promise<void> {
  const mqtt = (server: net.Server, port: number, name: string) => addTo(servers.mqtt, server, port, name, MOST_MQTT_CONNECTIONS)
  const http = (server: unknown, port: number, name: string) => addTo(servers.http, server as HttpServer, port, name, MOST_HTTP_CONNECTIONS)

  await mqtt(net.createServer({ noDelay: true }, broker.handle), config.mqttPort, 'CASTOR_MQTT_PORT')
  const plain = { fetch, createServer: createHttpServer, serverOptions: HTTP_TIMEOUTS }
  await http(createAdaptorServer(plain), config.deviceHttpPort, 'CASTOR_DEVICE_HTTP_PORT')
  if (!certificate) return
  const secure = { ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 } as const
  await mqtt(tls.createServer({ ...secure, noDelay: true }, broker.handle), config.mqttsPort, 'CASTOR_MQTTS_PORT')
  const encrypted = { fetch, createServer: createHttpsServer, serverOptions: { ...secure, ...HTTP_TIMEOUTS } }
  await http(createAdaptorServer(encrypted), config.deviceHttpsPort, 'CASTOR_DEVICE_HTTPS_PORT')

  async function addTo<S extends net.Server>(list: S[], server: S, port: number, name: string, most: number): Promise<void> {
    server.maxConnections = most
    await listenOn(server, config.host, port, name)
    // Too many open files, for one: the next connection may be taken again.
    server.on('error', (error) => log.warn({ err: error, name }, 'A connection could not be taken'))
    server.on('drop', () => log.debug({ name }, 'A connection too many was refused'))
    server.on('tlsClientError', (error) => log.debug({ err: error, name }, 'A TLS handshake failed'))
    list.push(server)
  }
}

/** A client that sends its request byte by byte is cut off. */
const HTTP_TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 20_000, keepAliveTimeout: 65_000, connectionsCheckingInterval: 2000 }

function listenOn(server: net.Server, host: string, port: number, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(taken ? new ConfigError(`${name}: port ${port} on ${host} is taken. Stop what uses it, or choose another.`) : error)
    })
    server.listen({ host, port, backlog: 4096 }, resolve)
  })
}

/** What is under way may finish; a client that takes its time does not hold us up. */
export function closeHttp(server: HttpServer, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(force)
      resolve()
    })
    server.closeIdleConnections()
  })
}
