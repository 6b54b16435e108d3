/** The HTTP client of webhooks and certificates: none but a valid one is sent to. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOutbound } from '../../infra/http/outbound.ts'
import { missing } from '../support/needs.ts'

describe.skipIf(missing('openssl'))('a receiver over TLS (needs openssl)', () => {
  // A network that is allowed by name: https at any port.
  const client = createOutbound({
    process: 'dispatcher',
    allowPrivate: false,
    allowNetworks: ['127.0.0.0/8'],
    resolve: async () => ['127.0.0.1'],
  })
  const trusted = getCACertificates('default')
  const servers: Server[] = []
  let folder: string
  let cert: Buffer
  let port: number
  let requests = 0

  const openssl = (...options: string[]) => execFileSync('openssl', options, { cwd: folder, stdio: 'ignore' })
  async function certificate(host: string) {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem']
    const name = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
    openssl('req', '-x509', ...key, ...name, '-days', '2', '-out', 'cert.pem')
    return { key: await readFile(join(folder, 'key.pem')), cert: await readFile(join(folder, 'cert.pem')) }
  }
  /** The same, in a past that newer openssl calls by its date and older by days before now. */
  async function expired(host: string) {
    const { key } = await certificate(host)
    openssl('req', '-new', '-key', 'key.pem', '-subj', `/CN=${host}`, '-out', 'request.pem')
    const sign = ['x509', '-req', '-in', 'request.pem', '-signkey', 'key.pem', '-out', 'cert.pem']
    try {
      openssl(...sign, '-not_before', '20200101000000Z', '-not_after', '20200102000000Z')
    } catch {
      openssl(...sign, '-days', '-1')
    }
    return { key, cert: await readFile(join(folder, 'cert.pem')) }
  }
  async function serve(identity: { key: Buffer; cert: Buffer }): Promise<number> {
    const server = createServer(identity, (_request, response) => {
      requests++
      response.end('ok')
    })
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const post = (host: string, at = port) => client.post({ url: `https://${host}:${at}/hook`, headers: {}, body: '{}' })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-outbound-'))
    const identity = await certificate('erp.example.com')
    cert = identity.cert
    port = await serve(identity)
  })
  afterAll(async () => {
    client.close()
    setDefaultCACertificates(trusted)
    for (const server of servers) server.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('with a certificate that nobody vouches for is not sent to, even if the process is told to trust all', async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      const error = expect.stringMatching(/^The certificate of erp\.example\.com:\d+ is not valid: self-signed certificate \(DEPTH_ZERO/)
      expect(await post('erp.example.com')).toMatchObject({ error })
      expect(requests).toBe(0)
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    }
  })

  test('with a valid certificate is sent to', async () => {
    setDefaultCACertificates([...trusted, cert.toString()])
    expect(await post('erp.example.com')).toMatchObject({ status: 200, answer: 'ok' })
  })

  test('with a certificate of another name is not sent to', async () => {
    setDefaultCACertificates([...trusted, cert.toString()])
    const error = expect.stringMatching(/^The certificate of crm\.example\.com:\d+ is not valid: .*\(ERR_TLS_CERT_ALTNAME_INVALID\)$/)
    expect(await post('crm.example.com')).toMatchObject({ error })
  })

  test('with a certificate of another time is not sent to', async () => {
    const identity = await expired('old.example.com')
    setDefaultCACertificates([...trusted, identity.cert.toString()])
    const error = expect.stringMatching(/is not valid: certificate has expired \(CERT_HAS_EXPIRED\)$/)
    expect(await post('old.example.com', await serve(identity))).toMatchObject({ error })
  })

  test('that does not speak TLS is told so', async () => {
    const plain = createTcpServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'))
    plain.listen(0, '127.0.0.1')
    await once(plain, 'listening')
    const error = expect.stringMatching(/does not speak TLS as it should/)
    expect(await post('erp.example.com', (plain.address() as AddressInfo).port)).toMatchObject({ error })
    plain.close()
  })

  test('that never finishes the handshake is given up at the deadline', async () => {
    const mute = createTcpServer((socket) => socket.resume())
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const hasty = createOutbound({ process: 'dispatcher', allowPrivate: true, allowNetworks: [], deadlineMs: 500 })
    const url = `https://127.0.0.1:${(mute.address() as AddressInfo).port}/`
    const error = expect.stringMatching(/did not finish the TLS handshake within 0\.5 s$/)
    expect(await hasty.post({ url, headers: {}, body: '{}' })).toMatchObject({ error })
    hasty.close()
    mute.close()
  })
})
