/**
 * The only reader of the environment. Every setting has its name, default and check here; an error names the variable and says what
 * it may be. Names are those of docs/architecture.md §10 and stay.
 */
import { resolve } from 'node:path'
import { z } from 'zod'
import { createAddressCheck, type NetworkRules } from './http/addresses.ts'

const port = z.coerce.number().int().min(0).max(65_535)
const flag = z.stringbool()
const text = z.string().min(1)

const environment = z.object({
  CASTOR_DATA_DIR: text.default('.castor'),
  CASTOR_HOST: text.default('127.0.0.1'),
  CASTOR_HTTP_PORT: port.default(8080),
  CASTOR_DEVICE_HTTP_PORT: port.default(8081),
  CASTOR_DEVICE_HTTPS_PORT: port.default(8444),
  CASTOR_MQTT_PORT: port.default(1883),
  CASTOR_MQTTS_PORT: port.default(8883),
  CASTOR_TEMPORAL_PORT: port.default(7233),
  CASTOR_TEMPORAL_UI_PORT: port.default(8233),
  CASTOR_PG_PORT: port.default(0),
  CASTOR_HEALTH_PORT: port.default(0),
  CASTOR_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  CASTOR_DEVICE_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  CASTOR_ADMIN_KEY: z.string().min(16, 'at least 16 characters').optional(),
  CASTOR_LOG: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
  CASTOR_ALLOW_PLAINTEXT: flag.default(false),
  CASTOR_WEBHOOK_ALLOW_PRIVATE: flag.default(false),
  CASTOR_WEBHOOK_ALLOW_NETWORKS: text.default('').transform(networks),
  CASTOR_SMTP_URL: z.url({ protocol: /^smtps?$/ }).optional(),
  CASTOR_SMTP_FROM: z
    .string()
    .regex(/^([^<>@\p{Cc}]+<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$/u, 'an address, like Castor <castor@example.org>')
    .optional(),
  CASTOR_PEERS: text.optional(),
  MQTT_CA_FILE: text.optional(),
  MQTT_CERT_FILE: text.optional(),
  MQTT_KEY_FILE: text.optional(),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  TEMPORAL_ADDRESS: z
    .string()
    .regex(/^[^\s/]+:\d+$/, 'host:port')
    .optional(),
  TEMPORAL_NAMESPACE: text.default('default'),
  TEMPORAL_CLI_PATH: text.optional(),
  MQTT_URL: text.optional(),
  KAFKA_BROKERS: text.optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: text.optional(),
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: text.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: text.optional(),
  OTEL_TRACES_SAMPLER: z
    .enum(['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'])
    .default('parentbased_traceidratio'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(0.001),
  XDG_CACHE_HOME: text.optional(),
  HOME: text.optional(),
})

/** Where one process of this Castor answers /readyz and /metrics; from CASTOR_PEERS. */
export interface Peer {
  name: string
  url: string
}

export type Sampler = z.infer<typeof environment>['OTEL_TRACES_SAMPLER']

/** Of the standard OpenTelemetry variables; the exporters read theirs (headers, timeouts, …) themselves. */
export interface TelemetryConfig {
  exportMetrics: boolean
  exportTraces: boolean
  sampler: Sampler
  /** Share of traces that begin here and are followed. */
  samplerRatio: number
}

export interface Config {
  /** Absolute. */
  dataDir: string
  host: string
  httpPort: number
  deviceHttpPort: number
  deviceHttpsPort: number
  mqttPort: number
  mqttsPort: number
  temporalPort: number
  temporalUiPort: number
  pgPort: number
  healthPort: number
  /** Where REST is reached from outside; default http://host:httpPort. */
  publicUrl: string
  devicePublicUrl: string
  /** CASTOR_ADMIN_KEY only; the key in use comes from the data folder when it is absent (infra/data-folder.ts). */
  adminKey: string | undefined
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error'
  allowPlaintext: boolean
  /** Where webhooks may go, beside public addresses. */
  webhookNetworks: NetworkRules
  /** Both or none: with them e-mail is sent. */
  smtpUrl: string | undefined
  smtpFrom: string | undefined
  mqttCaFile: string | undefined
  mqttCertFile: string | undefined
  mqttKeyFile: string | undefined
  databaseUrl: string | undefined
  temporalAddress: string | undefined
  temporalNamespace: string
  temporalCliPath: string | undefined
  /** Parent of Castor's cache folder. */
  cacheDir: string
  /** The processes under the same supervisor, this one included. */
  peers: Peer[]
  telemetry: TelemetryConfig
}

/** Not an error of the program but of its settings: shown without a stack. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const v = parseEnvironment(env)
  refuseUnbuilt(v)
  refuseHalfOfMail(v)
  const url = (p: number) => `http://${v.CASTOR_HOST.includes(':') ? `[${v.CASTOR_HOST}]` : v.CASTOR_HOST}:${p}`
  return {
    dataDir: resolve(v.CASTOR_DATA_DIR),
    host: v.CASTOR_HOST,
    httpPort: v.CASTOR_HTTP_PORT,
    deviceHttpPort: v.CASTOR_DEVICE_HTTP_PORT,
    deviceHttpsPort: v.CASTOR_DEVICE_HTTPS_PORT,
    mqttPort: v.CASTOR_MQTT_PORT,
    mqttsPort: v.CASTOR_MQTTS_PORT,
    temporalPort: v.CASTOR_TEMPORAL_PORT,
    temporalUiPort: v.CASTOR_TEMPORAL_UI_PORT,
    pgPort: v.CASTOR_PG_PORT,
    healthPort: v.CASTOR_HEALTH_PORT,
    publicUrl: (v.CASTOR_PUBLIC_URL ?? url(v.CASTOR_HTTP_PORT)).replace(/\/$/, ''),
    devicePublicUrl: (v.CASTOR_DEVICE_PUBLIC_URL ?? url(v.CASTOR_DEVICE_HTTP_PORT)).replace(/\/$/, ''),
    adminKey: v.CASTOR_ADMIN_KEY,
    logLevel: v.CASTOR_LOG,
    allowPlaintext: v.CASTOR_ALLOW_PLAINTEXT,
    webhookNetworks: { allowPrivate: v.CASTOR_WEBHOOK_ALLOW_PRIVATE, allowNetworks: v.CASTOR_WEBHOOK_ALLOW_NETWORKS },
    smtpUrl: v.CASTOR_SMTP_URL,
    smtpFrom: v.CASTOR_SMTP_FROM,
    mqttCaFile: v.MQTT_CA_FILE,
    mqttCertFile: v.MQTT_CERT_FILE,
    mqttKeyFile: v.MQTT_KEY_FILE,
    databaseUrl: v.DATABASE_URL,
    temporalAddress: v.TEMPORAL_ADDRESS,
    temporalNamespace: v.TEMPORAL_NAMESPACE,
    temporalCliPath: v.TEMPORAL_CLI_PATH,
    cacheDir: v.XDG_CACHE_HOME ?? resolve(v.HOME ?? '.', '.cache'),
    peers: parsePeers(v.CASTOR_PEERS),
    telemetry: {
      exportMetrics: Boolean(v.OTEL_EXPORTER_OTLP_ENDPOINT ?? v.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT),
      exportTraces: Boolean(v.OTEL_EXPORTER_OTLP_ENDPOINT ?? v.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT),
      sampler: v.OTEL_TRACES_SAMPLER,
      samplerRatio: v.OTEL_TRACES_SAMPLER_ARG,
    },
  }
}

/** For a program that we start: our environment with changes; undefined takes a variable away. */
export function childEnvironment(changes: Record<string, string | undefined>): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries({ ...process.env, ...changes }).filter(([, value]) => value !== undefined))
}

type Environment = z.infer<typeof environment>

/** CIDRs, separated by commas. */
function networks(value: string, context: z.RefinementCtx): string[] {
  const allowNetworks = value.split(',').flatMap((network) => network.trim() || [])
  try {
    createAddressCheck({ allowPrivate: false, allowNetworks })
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message })
  }
  return allowNetworks
}

/** An empty variable counts as not set: that is what `NAME= npm start` and most deployment files mean. */
function parseEnvironment(env: NodeJS.ProcessEnv): Environment {
  const given = Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== '' && name in environment.shape))
  const parsed = environment.safeParse(given)
  if (parsed.success) return parsed.data
  const lines = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0])
    // Values of these may hold secrets.
    const shown = /KEY$|URL$/.test(name) ? '' : ` is ${JSON.stringify(given[name])}`
    return `${name}${shown}: ${issue.message}`
  })
  throw new ConfigError(`The environment is not valid.\n  ${lines.join('\n  ')}`)
}

/** Named in the design but not built yet: refused by name, never ignored. */
function refuseUnbuilt(v: Environment): void {
  if (v.KAFKA_BROKERS) throw new ConfigError('KAFKA_BROKERS: Kafka as the ingest log is not built yet. Unset it: Postgres holds the log.')
  if (v.MQTT_URL)
    throw new ConfigError('MQTT_URL: an outer MQTT broker is not supported yet. Unset it: the bridge has a broker of its own.')
  if (v.MQTT_CA_FILE)
    throw new ConfigError('MQTT_CA_FILE: client certificates are not built yet. Unset it: devices log in with their tokens.')
}

function refuseHalfOfMail({ CASTOR_SMTP_URL: url, CASTOR_SMTP_FROM: from }: Environment): void {
  if ((url === undefined) === (from === undefined)) return
  const missing = url === undefined ? 'CASTOR_SMTP_URL' : 'CASTOR_SMTP_FROM'
  throw new ConfigError(
    `${missing} is not set: CASTOR_SMTP_URL says by which server e-mail goes, CASTOR_SMTP_FROM from which address. Set both.`,
  )
}

/** `bridge=http://127.0.0.1:4001,api=http://…` */
function parsePeers(list: string | undefined): Peer[] {
  if (!list) return []
  return list.split(',').map((entry) => {
    const at = entry.indexOf('=')
    const [name, url] = [entry.slice(0, at), entry.slice(at + 1)]
    if (at < 1 || !URL.canParse(url)) throw new ConfigError(`CASTOR_PEERS: ${JSON.stringify(entry)} is not name=url.`)
    return { name, url }
  })
}
