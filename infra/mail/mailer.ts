/**
 * E-mail over the platform's own mail server, by nodemailer: few connections that stay open, a pace, and an end to every attempt. Where that server
 * is, and what it said to our login, tenants do not learn: they are told in words, and the operator's log has the rest.
 */
import { createTransport } from 'nodemailer'
import type { Mail, Mailer } from '../../api/notify/ports.ts'
import type { Attempt } from '../../twin-models/core/delivery.ts'

export interface MailerOptions {
  /** smtp:// or smtps://, with user and password. Undefined: no e-mail is sent. */
  url: string | undefined
  /** `Castor <castor@example.com>` or an address. */
  from: string | undefined
  /** What went wrong, for the log. */
  trouble(error: unknown): void
  /** From the connection to the answer. Absent: 20 s. */
  deadlineMs?: number
}

export interface RunningMailer extends Mailer {
  /** Ends what is under way; it counts as failed. */
  close(): void
}

const DEADLINE_MS = 20_000
const TIMEOUTS = {
  connectionTimeout: 10_000,
  greetingTimeout: 10_000,
  dnsTimeout: 10_000,
  socketTimeout: 15_000,
  socketCloseTimeout: 1_000,
}
/** Those that were not sent because their connection was lost are tried again by who asked. */
const POOL = { maxConnections: 2, maxMessages: 100, rateLimit: 10, rateDelta: 1_000, maxRequeues: 0 }
/** Of an answer. */
const KEPT = 1_000
const NO_MAIL =
  'This Castor sends no e-mail. Its operator sets CASTOR_SMTP_URL and CASTOR_SMTP_FROM for api and dispatcher, and starts them again'

export function createMailer({ url, from, trouble, deadlineMs = DEADLINE_MS }: MailerOptions): RunningMailer {
  if (url === undefined || from === undefined) return { refusal: () => NO_MAIL, send: async () => ({ ms: 0, error: NO_MAIL }), close() {} }
  const domain = /@([^@>\s]+)>?\s*$/.exec(from)?.[1] ?? 'castor.invalid'
  const idOf = (id: string) => `<${id}@${domain}>`
  const transport = createTransport({ pool: true, url, ...POOL, ...TIMEOUTS, disableFileAccess: true, disableUrlAccess: true })
  // Of a connection that is free. What a message meets is told with it.
  transport.on('error', trouble)

  return {
    refusal: () => undefined,
    async send({ to, cc, subject, text, id, references }: Mail) {
      const startedAt = performance.now()
      const ms = () => Math.round(performance.now() - startedAt)
      try {
        const sent = await transport.sendMail({
          ...{ from, to, cc, subject, text, messageId: idOf(id) },
          ...(references.length > 0 && { inReplyTo: idOf(references[0]!), references: references.map(idOf) }),
          // Nobody's absence is told to a machine (RFC 3834).
          headers: { 'Auto-Submitted': 'auto-generated' },
          signal: AbortSignal.timeout(deadlineMs),
        })
        const answer = sent.rejected.length > 0 ? `${sent.response}; not taken: ${sent.rejected.join(', ')}` : sent.response
        return { ms: ms(), status: 250, answer: answer.slice(0, KEPT) }
      } catch (error) {
        trouble(error)
        return failed(error as MailError, ms(), deadlineMs)
      }
    },
    close: () => transport.close({ force: true }),
  }
}

/** As nodemailer has them. */
interface MailError extends Error {
  code?: string
  /** Of Node. */
  originalCode?: string
  command?: string
  /** Of SMTP. */
  responseCode?: number
  response?: string
}

function failed(
  { code = '', originalCode, command = '', responseCode, response = '' }: MailError,
  ms: number,
  deadlineMs: number,
): Attempt & { isFinal?: true } {
  // What it says to recipients and contents is for whoever chose them.
  const isOfMessage = command === 'RCPT TO' || command === 'DATA' || code === 'EMESSAGE'
  if (responseCode !== undefined && isOfMessage) {
    const isFinal = responseCode >= 500 && responseCode !== 503
    return { ms, status: responseCode, answer: response.slice(0, KEPT), ...(isFinal && { isFinal }) }
  }
  return { ms, error: inWords(code, responseCode ?? originalCode, deadlineMs) }
}

function inWords(code: string, why: number | string | undefined, deadlineMs: number): string {
  const said = why === undefined ? '' : ` (${why})`
  if (code === 'ETLS' || code === 'EREQUIRETLS' || /CERT|SSL|TLS|SELF_SIGNED|ISSUER|VERIFY/.test(String(why)))
    return `The mail server offers no connection that is secure${said}`
  switch (code) {
    case 'EABORT':
      return `The mail server did not take it within ${deadlineMs / 1000} s`
    case 'EAUTH':
    case 'ENOAUTH':
    case 'EOAUTH2':
      return `The mail server does not take the platform’s login${said}`
    case 'EENVELOPE':
      return `The mail server takes no mail from the platform’s address${said}`
    case 'ECONNECTION':
    case 'ESOCKET':
    case 'ETIMEDOUT':
    case 'EDNS':
      return `The mail server cannot be reached${said}`
  }
  return `The mail server failed${said}${code === '' ? '' : `: ${code}`}`
}
