/**
 * Registers simulated devices over REST, and keeps their tokens in the data folder (readable by its owner only), so that a second
 * run finds its devices again. A device that is registered but whose token is lost gets a new one.
 */
import { z } from 'zod'
import { createKeys, type Keys } from './firmware/keys.ts'
import { readKept, writeKept } from './kept-file.ts'

export interface Registrar {
  /** The saved token, or that of a new registration. */
  tokenOf(device: string, model: string): Promise<string>
  /** The saved token is not accepted any more: another one. */
  renew(device: string, model: string): Promise<string>
  /** Writes the tokens to their file. */
  save(): void
  /** What the devices trust, once it was asked for. */
  readonly keys: Keys
}

export interface RegistrarOptions {
  restUrl: string
  key: string
  tokensFile: string
  /** How often a request that finds nobody is made before giving up. */
  tries?: number
}

/** Of every simulated device, and in its attributes: firmware may be for some hardware only. */
export const HARDWARE = 'sim-1'

const REQUEST_TIMEOUT_MS = 15_000
const DEFAULT_TRIES = 5

const tokensSchema = z.record(z.string(), z.string())
const answerSchema = z.object({ token: z.string() })

/** Says what is wrong in words for whoever started the simulator. */
export class RegistrationError extends Error {
  override name = 'RegistrationError'
}

export function createRegistrar(options: RegistrarOptions): Registrar {
  // Where there are none the devices get new ones.
  const tokens = new Map(Object.entries(readKept(options.tokensFile, tokensSchema) ?? {}))
  let changed = false

  async function renew(device: string, model: string): Promise<string> {
    const token = await register(options, device, model)
    tokens.set(device, token)
    changed = true
    return token
  }

  return {
    tokenOf: async (device, model) => tokens.get(device) ?? (await renew(device, model)),
    renew,
    save() {
      if (!changed) return
      writeKept(options.tokensFile, Object.fromEntries(tokens))
      changed = false
    },
    keys: createKeys(options),
  }
}

async function register(options: RegistrarOptions, device: string, model: string): Promise<string> {
  const created = await post(options, '/v1/devices', { id: device, model, attributes: { hardware: HARDWARE } })
  if (created.status === 201) return tokenFrom(created)
  if (created.status !== 409) throw await refusal(created, `registering ${device}`)
  const renewed = await post(options, `/v1/devices/${encodeURIComponent(device)}/token`, {})
  if (!renewed.ok) throw await refusal(renewed, `a new token for ${device}`)
  return tokenFrom(renewed)
}

/** Tries again when Castor asks to wait or cannot be reached for a moment. */
async function post({ restUrl, key, tries = DEFAULT_TRIES }: RegistrarOptions, path: string, body: unknown): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(`${restUrl}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    }).catch((error) => error as Error)
    const isTransient = response instanceof Error || response.status === 429 || response.status >= 500
    if (!isTransient) return response
    if (attempt >= tries) throw response instanceof Error ? unreachable(restUrl, response) : await refusal(response, path)
    const asked = response instanceof Error ? 0 : Number(response.headers.get('retry-after') ?? 0)
    await new Promise((resolve) => setTimeout(resolve, asked * 1000 + Math.random() * 250 * 2 ** attempt))
  }
}

async function tokenFrom(response: Response): Promise<string> {
  return answerSchema.parse(await response.json()).token
}

async function refusal(response: Response, what: string): Promise<RegistrationError> {
  const text = (await response.text()).slice(0, 500)
  if (response.status === 401) return new RegistrationError('Castor does not accept the admin key. Is this the data folder of that Castor?')
  return new RegistrationError(`Castor refused ${what} with status ${response.status}: ${text}`)
}

function unreachable(restUrl: string, error: Error): RegistrationError {
  const cause = error.cause instanceof Error ? error.cause.message : error.message
  return new RegistrationError(
    `No Castor answers at ${restUrl} (${cause}). Start one with \`npm start\`, or set CASTOR_HOST and CASTOR_HTTP_PORT.`,
  )
}
