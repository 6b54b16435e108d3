/** The ports of `npm start`: chosen where any will do, checked before anything is started. */
import net, { type AddressInfo } from 'node:net'
import { type Config, ConfigError } from '../config.ts'

export interface WantedPort {
  variable: string
  host: string
  port: number
}

/** A port that is taken, or wanted twice, is a clear error that names it. */
export async function requireFreePorts(config: Config): Promise<void> {
  await requireFree(wantedPorts(config))
}

export async function requireFree(wanted: WantedPort[]): Promise<void> {
  for (const [i, { variable, port }] of wanted.entries()) {
    const same = wanted.slice(0, i).find((other) => other.port === port)
    if (same) throw new ConfigError(`${same.variable} and ${variable} are both ${port}: choose another for one.`)
  }
  for (const { variable, host, port } of wanted) {
    const code = await new Promise<string | undefined>((resolve) => {
      const server = net.createServer()
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      server.listen({ host, port }, () => server.close(() => resolve(undefined)))
    })
    if (code === 'EADDRINUSE')
      throw new ConfigError(`${variable}: port ${port} on ${host} is taken. Stop what uses it, or set ${variable} to another.`)
    if (code !== undefined) throw new ConfigError(`${variable}: cannot listen on port ${port} of ${host} (${code}).`)
  }
}

/** 0 means a free one; from here on every port is known. */
export async function choosePorts(config: Config): Promise<Config> {
  const ports = { ...config }
  for (const name of ['httpPort', 'deviceHttpPort', 'mqttPort', 'temporalPort', 'temporalUiPort', 'pgPort'] as const)
    if (ports[name] === 0) ports[name] = await freePort(name === 'pgPort' ? '127.0.0.1' : config.host)
  const known = (url: string, port: number) => url.replace(/:0$/, `:${port}`)
  return {
    ...ports,
    publicUrl: known(ports.publicUrl, ports.httpPort),
    devicePublicUrl: known(ports.devicePublicUrl, ports.deviceHttpPort),
  }
}

function wantedPorts(config: Config): WantedPort[] {
  const { host } = config
  return [
    { variable: 'CASTOR_HTTP_PORT', host, port: config.httpPort },
    { variable: 'CASTOR_DEVICE_HTTP_PORT', host, port: config.deviceHttpPort },
    { variable: 'CASTOR_MQTT_PORT', host, port: config.mqttPort },
    ...(config.temporalAddress
      ? []
      : [
          { variable: 'CASTOR_TEMPORAL_PORT', host, port: config.temporalPort },
          { variable: 'CASTOR_TEMPORAL_UI_PORT', host, port: config.temporalUiPort },
        ]),
    ...(config.databaseUrl ? [] : [{ variable: 'CASTOR_PG_PORT', host: '127.0.0.1', port: config.pgPort }]),
    ...(config.mqttCertFile
      ? [
          { variable: 'CASTOR_MQTTS_PORT', host, port: config.mqttsPort },
          { variable: 'CASTOR_DEVICE_HTTPS_PORT', host, port: config.deviceHttpsPort },
        ]
      : []),
  ]
}

/** Free at this moment. Another program may take it before we do: whoever listens on it says so and is started again. */
export async function freePort(host: string): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port: 0 }, resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export const urlHost = (host: string) => (host.includes(':') ? `[${host}]` : host)
