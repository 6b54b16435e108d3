/** A mail server on loopback: keeps what came, and refuses or stalls as told. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { until } from './wait.ts'

export interface ReceivedMail {
  from: string
  to: string[]
  /** By their names in small letters, unfolded. */
  headers: { [name: string]: string }
  text: string
}

type Refusal = { code: number; message: string } | undefined

export class MailServer {
  readonly received: ReceivedMail[] = []
  /** Connections, and the most that ever were. */
  open = 0
  mostOpen = 0
  /** What it says to a recipient, or to a message. A promise that never ends is a server that never answers. */
  refusal: (address: string) => Refusal = () => undefined
  takes: (mail: ReceivedMail) => Refusal | Promise<Refusal> = () => undefined
  #server: SMTPServer | undefined
  #port = 0

  static async start(): Promise<MailServer> {
    const server = new MailServer()
    await server.begin()
    return server
  }

  /** With the login that it wants. */
  get url(): string {
    return `smtp://castor:secret@127.0.0.1:${this.#port}`
  }

  /** Waits for so many. */
  gets(count: number): Promise<ReceivedMail[]> {
    return until(() => (this.received.length >= count ? this.received : undefined), `${count} mails arrive`)
  }

  /** As a new one. */
  clear(): void {
    this.received.length = 0
    this.mostOpen = 0
    this.refusal = () => undefined
    this.takes = () => undefined
  }

  /** Also again, after `stop`. */
  async begin(): Promise<void> {
    this.#server = new SMTPServer({
      logger: false,
      hideSTARTTLS: true,
      allowInsecureAuth: true,
      onConnect: (_session, done) => {
        this.open++
        this.mostOpen = Math.max(this.mostOpen, this.open)
        done()
      },
      onClose: (_session, done) => {
        this.open--
        done?.()
      },
      onAuth: ({ username, password }, _session, done) =>
        username === 'castor' && password === 'secret' ? done(null, { user: username }) : done(new Error('no such user')),
      onRcptTo: ({ address }, _session, done) => done(errorOf(this.refusal(address))),
      onData: async (stream, { envelope }, done) => {
        const chunks: Buffer[] = []
        for await (const chunk of stream) chunks.push(chunk as Buffer)
        const from = envelope.mailFrom ? envelope.mailFrom.address : ''
        const mail = { from, to: envelope.rcptTo.map(({ address }) => address), ...parsed(Buffer.concat(chunks).toString()) }
        const refused = errorOf(await this.takes(mail))
        if (!refused) this.received.push(mail)
        done(refused)
      },
    })
    this.#server.on('error', () => {})
    const listening = this.#server.listen(this.#port, '127.0.0.1')
    await once(listening, 'listening')
    this.#port = (listening.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    for (const connection of server.connections) connection.close()
    await new Promise<void>((closed) => server.close(() => closed()))
  }
}

function errorOf(refusal: Refusal): (Error & { responseCode: number }) | null {
  return refusal ? Object.assign(new Error(refusal.message), { responseCode: refusal.code }) : null
}

function parsed(raw: string): Pick<ReceivedMail, 'headers' | 'text'> {
  const end = raw.indexOf('\r\n\r\n')
  const lines = raw
    .slice(0, end)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), words(line.slice(line.indexOf(':') + 1).trim())]),
  )
  const body = raw.slice(end + 4)
  const encoding = headers['content-transfer-encoding']
  const text = encoding === 'quoted-printable' ? quoted(body) : encoding === 'base64' ? Buffer.from(body, 'base64').toString() : body
  return { headers, text: text.replaceAll('\r\n', '\n') }
}

/** RFC 2047. */
function words(value: string): string {
  return value
    .replaceAll(/\?=\s+=\?/g, '?==?')
    .replaceAll(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_, kind: string, text: string) =>
      kind.toLowerCase() === 'b' ? Buffer.from(text, 'base64').toString() : quoted(text.replaceAll('_', ' ')),
    )
}

function quoted(text: string): string {
  const bytes = text
    .replaceAll(/=\r?\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}
