/**
 * Who may connect: user name `tenant/device`, password the token. CONNACK 4 for a bad credential, 5 for what is not allowed, 3 when we
 * cannot say or store, 2 for an empty client id without a clean session (MQTT-3.1.3-8).
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Client } from 'aedes'
import { parseUserName, topicPrefix } from '../../api/mqtt/topics.ts'
import type { MqttLogin } from '../postgres/device-auth.ts'

export interface AdmissionLimits {
  /** Logins under way at a time. */
  logins: number
  connectsPerSecond: number
  connectBurst: number
  loginTimeoutMs: number
  /** A longer keepalive, or none, counts as this: after one and a half of it without a packet a connection is dead. */
  maxKeepaliveSeconds: number
  maxWillBytes: number
}

/** What of CONNECT is kept until the credential is checked. */
export interface ConnectRequest {
  clientId: string
  clean: boolean
  keepaliveSeconds: number
  will: { topic: string; payload: Buffer } | undefined
}

export type ReturnCode = 2 | 3 | 4 | 5

/** aedes reads `returnCode` off the error. */
export class Refusal extends Error {
  readonly returnCode: ReturnCode
  /** For the metrics. */
  readonly reason: string

  constructor(returnCode: ReturnCode, reason: string, message: string) {
    super(message)
    this.returnCode = returnCode
    this.reason = reason
  }
}

export type FindLogin = (tenant: string, device: string, tokenHash: Buffer) => Promise<MqttLogin | undefined>

export interface Admitted extends MqttLogin {
  connection: number
  request: ConnectRequest
}

/** Parts of mqtt-packet's CONNECT that we read or change. */
interface ConnectPacket {
  clientId: string
  clean?: boolean | undefined
  keepalive?: number | undefined
  will?: { topic: string; payload: Buffer | string; qos?: 0 | 1 | 2 | undefined; retain?: boolean | undefined } | undefined
}

export function createAdmission(find: FindLogin, limits: AdmissionLimits, now: () => number = () => performance.now()) {
  const requests = new WeakMap<Client, ConnectRequest>()
  const bucket = createBucket(limits.connectsPerSecond, limits.connectBurst, now)
  let serial = 0
  let loggingIn = 0

  return { prepare, admit }

  /** Before aedes looks at the packet: gives it a client id that nobody else can have, a clean session, and `probe` as the will. */
  function prepare(client: Client, packet: ConnectPacket, probe: NonNullable<ConnectPacket['will']>): ConnectRequest {
    const { will, clientId } = packet
    const keepaliveSeconds = Math.min(packet.keepalive || limits.maxKeepaliveSeconds, limits.maxKeepaliveSeconds)
    const request = {
      clientId,
      clean: packet.clean !== false,
      keepaliveSeconds,
      will: will && { topic: will.topic, payload: Buffer.from(will.payload) },
    }
    requests.set(client, request)
    packet.clientId = `c${++serial}`
    packet.clean = true
    packet.keepalive = keepaliveSeconds
    packet.will = probe
    return request
  }

  /** Throws Refusal. */
  async function admit(client: Client, username: string | undefined, password: Buffer | undefined): Promise<Admitted> {
    const request = requests.get(client)!
    if (!bucket()) throw new Refusal(3, 'rate', 'too many connections a second')
    if (loggingIn >= limits.logins) throw new Refusal(3, 'rate', 'too many logins at a time')
    const name = parseUserName(username)
    if (!name || !password || password.length === 0)
      throw new Refusal(4, 'credential', 'the user name is tenant/device, the password its token')
    if (request.clientId === '' && !request.clean) throw new Refusal(2, 'client-id', 'an empty client id needs a clean session')
    const login = await logIn(name, sha256(password))
    checkWill(request, topicPrefix(login.tenant, login.device))
    // Without an id of its own nobody can take over from it.
    if (request.clientId === '') request.clientId = `\0${randomBytes(12).toString('hex')}`
    return { ...login, request }
  }

  async function logIn(
    { tenant, device }: { tenant: string; device: string },
    tokenHash: Buffer,
  ): Promise<MqttLogin & { connection: number }> {
    loggingIn++
    let login: MqttLogin | undefined
    try {
      login = await within(limits.loginTimeoutMs, find(tenant, device, tokenHash))
    } catch (cause) {
      throw Object.assign(new Refusal(3, 'unavailable', 'the registry does not answer'), { cause })
    } finally {
      loggingIn--
    }
    if (!login || !timingSafeEqual(login.tokenHash, tokenHash) || login.connection === null)
      throw new Refusal(4, 'credential', 'no such device, or a wrong token')
    return { ...login, connection: login.connection }
  }

  function checkWill({ will }: ConnectRequest, prefix: string): void {
    if (!will) return
    if (will.topic !== `${prefix}presence`) throw new Refusal(5, 'will', `a will belongs on ${prefix}presence`)
    if (will.payload.length > limits.maxWillBytes) throw new Refusal(5, 'will', `a will has at most ${limits.maxWillBytes} bytes`)
  }
}

export function sha256(text: Buffer | string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** A token bucket: true when there is one more. */
function createBucket(perSecond: number, burst: number, now: () => number): () => boolean {
  let left = burst
  let at = now()
  return () => {
    const time = now()
    left = Math.min(burst, left + ((time - at) / 1000) * perSecond)
    at = time
    if (left < 1) return false
    left--
    return true
  }
}

export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
