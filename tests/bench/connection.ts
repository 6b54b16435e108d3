/**
 * One device's connection of the load generator: a bare socket, with `window` messages in flight at most.
 * A broken connection is made again after a second, and what was not acknowledged is sent again, as a device would.
 */
import net from 'node:net'
import { CONNACK, type Credentials, connectPacket, type Payload, PINGREQ, PUBACK, PublishTemplate } from './packets.ts'

export interface DeviceListener {
  connected(device: DeviceConnection): void
  acknowledged(device: DeviceConnection, sentAt: number): void
  closed(device: DeviceConnection, why: string): void
}

export interface DeviceOptions {
  host: string
  port: number
  credentials: Credentials
  topic: string
  payload: Payload
  window: number
}

const KEEPALIVE_SECONDS = 60
const RECONNECT_MS = 1000
/** Read at once and done with at once, so all sockets may share it. */
const readBuffer = Buffer.allocUnsafe(65_536)

export class DeviceConnection {
  sent = 0
  free: number
  ready = false
  /** Newest time of its own that it has said; rises strictly, so that each message has its own. */
  lastTs = 0
  #lastWrite = 0
  #stopped = false
  #socket: net.Socket | undefined
  #partial: Buffer | undefined
  readonly #slots: PublishTemplate[]
  readonly #sentAt: number[]
  readonly #freeSlots: number[]
  readonly #options: DeviceOptions
  readonly #listener: DeviceListener

  constructor(options: DeviceOptions, listener: DeviceListener) {
    this.#options = options
    this.#listener = listener
    this.free = options.window
    this.#slots = Array.from({ length: options.window }, (_, i) => new PublishTemplate(options.topic, i + 1, options.payload))
    this.#sentAt = this.#slots.map(() => 0)
    this.#freeSlots = this.#slots.map((_, i) => i)
  }

  connect(): void {
    if (this.#stopped) return
    const { host, port, credentials } = this.#options
    const onread = { buffer: readBuffer, callback: (length: number, buffer: Uint8Array) => this.#read(buffer.subarray(0, length)) }
    const socket = net.connect({ host, port, noDelay: true, onread } as net.TcpNetConnectOpts)
    let why = 'closed by the server'
    socket.on('connect', () => socket.write(connectPacket(credentials, KEEPALIVE_SECONDS)))
    socket.on('error', (error) => {
      why = error.message
    })
    socket.on('close', () => {
      this.ready = false
      this.#partial = undefined
      if (this.#stopped) return
      this.#listener.closed(this, why)
      setTimeout(() => this.connect(), RECONNECT_MS)
    })
    this.#socket = socket
  }

  /** Only when it is ready and a slot is free. */
  publish(now: number): void {
    const slot = this.#freeSlots.pop()!
    this.free--
    this.lastTs = Math.max(Date.now(), this.lastTs + 1)
    this.#sentAt[slot] = now
    this.#write(this.#slots[slot]!.fill(this.sent++, this.lastTs), now)
  }

  /** Keeps the connection alive while nothing is sent. */
  pingIfQuiet(now: number): void {
    if (this.ready && now - this.#lastWrite > (KEEPALIVE_SECONDS * 1000) / 3) this.#write(PINGREQ, now)
  }

  stop(): void {
    this.#stopped = true
    this.ready = false
    this.#socket?.destroy()
  }

  #write(bytes: Buffer, now: number): void {
    this.#lastWrite = now
    this.#socket!.write(bytes)
  }

  #read(chunk: Uint8Array): boolean {
    let bytes = chunk
    if (this.#partial) {
      bytes = Buffer.concat([this.#partial, chunk])
      this.#partial = undefined
    }
    let at = 0
    // All that a server sends to a device that subscribes to nothing is four bytes or two.
    while (at + 2 <= bytes.length && at + 2 + bytes[at + 1]! <= bytes.length) {
      this.#packet(bytes[at]! >> 4, bytes, at + 2)
      at += 2 + bytes[at + 1]!
    }
    if (at < bytes.length) this.#partial = Buffer.from(bytes.subarray(at))
    return true
  }

  #packet(type: number, bytes: Uint8Array, body: number): void {
    if (type === PUBACK) {
      const slot = bytes[body]! * 256 + bytes[body + 1]! - 1
      if (this.#sentAt[slot] === 0) return
      const sentAt = this.#sentAt[slot]!
      this.#sentAt[slot] = 0
      this.#freeSlots.push(slot)
      this.free++
      this.#listener.acknowledged(this, sentAt)
    } else if (type === CONNACK) {
      if (bytes[body + 1] !== 0) {
        this.#socket!.destroy(new Error(`CONNACK ${bytes[body + 1]}`))
        return
      }
      this.ready = true
      const now = performance.now()
      this.#sentAt.forEach((sentAt, slot) => {
        if (sentAt !== 0) this.#write(this.#slots[slot]!.again(), now)
      })
      this.#listener.connected(this)
    }
  }
}
