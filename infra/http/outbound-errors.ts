/** Why a request had no answer, in words that whoever reads the attempts of a webhook can act on. */

/** How far it had come. */
export type Stage = 'resolve' | 'connect' | 'tls' | 'answer'

type Trouble = { stage: Stage; deadlineMs: number } | { error: Error | undefined }

export function inWords(trouble: Trouble, { hostname, host }: URL): string {
  if ('stage' in trouble) return late(trouble.stage, `${trouble.deadlineMs / 1000} s`, hostname, host)
  const { error } = trouble
  const { code = '', message = '' } = (error ?? { code: 'ECONNRESET' }) as NodeJS.ErrnoException
  switch (code) {
    case 'ENOTFOUND':
    case 'ENODATA':
      return `The name ${hostname} has no address in DNS`
    case 'ETIMEOUT':
    case 'ESERVFAIL':
    case 'EREFUSED':
    case 'EAI_AGAIN':
      return `DNS gave no answer for ${hostname} (${code})`
    case 'ECONNREFUSED':
      return `${host} refuses connections: nothing listens there`
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `${host} cannot be reached (${code})`
    case 'ECONNRESET':
    case 'EPIPE':
      return `${host} closed the connection before it answered`
    case 'HPE_HEADER_OVERFLOW':
      return 'The headers of the answer are larger than 16 kB'
    case 'EPROTO':
      return `${host} does not speak TLS as it should: ${message.trim()}`
  }
  if (code.startsWith('HPE_')) return `The answer is not HTTP: ${message}`
  // After a semicolon Node says how one may start it.
  if (isOfCertificate(code)) return `The certificate of ${host} is not valid: ${message.split(';')[0]} (${code})`
  return code === '' ? message : `${message} (${code})`
}

function late(stage: Stage, time: string, hostname: string, host: string): string {
  switch (stage) {
    case 'resolve':
      return `DNS gave no answer for ${hostname} within ${time}`
    case 'connect':
      return `${host} took no connection within ${time}`
    case 'tls':
      return `${host} did not finish the TLS handshake within ${time}`
    case 'answer':
      return `${host} gave no answer within ${time}`
  }
}

/** What OpenSSL says of a chain, and Node of a name. */
function isOfCertificate(code: string): boolean {
  return /CERT|SELF_SIGNED|ISSUER|VERIFY|UNABLE_TO|CRL|HOSTNAME_MISMATCH/.test(code)
}
