/** The HTTP client of webhooks against receivers that are slow, broken or hostile: real servers on this machine, and names that move. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createOutbound, type Outbound, type OutboundOptions } from '../../infra/http/outbound.ts'
import { until } from '../support/wait.ts'

const closing: Array<() => void> = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** Gives its port. */
async function listening(server: Server): Promise<number> {
  closing.push(() => server.close())
  server.on('connection', (socket) => closing.push(() => socket.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function tcpServer(accept: (socket: Socket) => void): Promise<string> {
  const port = await listening(
    createTcpServer((socket) => {
      socket.on('error', () => {})
      accept(socket)
    }),
  )
  return `http://127.0.0.1:${port}/hook`
}

async function httpServer(answer: RequestListener) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  let connections = 0
  server.on('connection', () => connections++)
  const port = await listening(server)
  const of = (host: string) => `http://${host}:${port}/hook`
  return { port, of, url: of('127.0.0.1'), requests, connections: () => connections }
}

function outbound(options: Partial<OutboundOptions> = {}): Outbound {
  const made = createOutbound({ process: 'dispatcher', allowPrivate: true, allowNetworks: [], ...options })
  closing.push(() => made.close())
  return made
}

const post = (client: Outbound, url: string, more: { headers?: { [name: string]: string }; body?: string } = {}) =>
  client.post({ url, headers: { 'content-type': 'application/json' }, body: '{"type":"twin.online"}', ...more })

/** One after the other, whatever comes before it: a name that moves. */
function names(...answers: string[][]) {
  const asked: string[] = []
  const resolve = async (name: string) => {
    asked.push(name)
    return answers[Math.min(asked.length, answers.length) - 1]!
  }
  return { asked, resolve }
}

const settingsOf = (process: string) =>
  `(the ${process} goes by its CASTOR_WEBHOOK_ALLOW_PRIVATE and CASTOR_WEBHOOK_ALLOW_NETWORKS, which must be the same for api, dispatcher and worker)`

const everyFewMs = (work: () => void) => {
  const timer = setInterval(work, 5)
  closing.push(() => clearInterval(timer))
}

describe('a request', () => {
  test('carries its headers and body, and its answer comes back', async () => {
    const seen: string[] = []
    const server = await httpServer(async (request, response) => {
      const body = await request.toArray()
      seen.push(`${request.method} ${request.url} ${Buffer.concat(body)}`)
      response.writeHead(202, { 'Retry-After': '7' }).end('taken')
    })
    const attempt = await post(outbound(), `${server.url}?a=b#c`, { headers: { 'webhook-id': 'evt_1' }, body: '{"ü":1}' })
    expect(attempt).toEqual({ ms: expect.any(Number), status: 202, answer: 'taken', retryAfter: '7' })
    expect(seen).toEqual(['POST /hook?a=b {"ü":1}'])
    expect(server.requests[0]?.headers).toMatchObject({ 'webhook-id': 'evt_1', 'content-length': '8', 'user-agent': 'Castor' })
  })

  test('uses a connection again, with or without a body in the answer', async () => {
    const server = await httpServer((request, response) => {
      request.resume()
      response.writeHead(200).end(server.requests.length % 2 ? 'a'.repeat(10_000) : '')
    })
    const client = outbound()
    for (let n = 0; n < 20; n++) expect(await post(client, server.url)).toMatchObject({ status: 200 })
    expect(server.connections()).toBe(1)
  })

  test('does not fail because its receiver closed a free connection', async () => {
    const sockets = new Set<Socket>()
    const server = await httpServer((request, response) => {
      const { socket } = request
      // The second request on a connection is not answered: as if it had been closed just before.
      if (sockets.has(socket)) return socket.destroy()
      sockets.add(socket)
      response.end('ok')
    })
    const client = outbound()
    for (let n = 0; n < 3; n++) expect(await post(client, server.url)).toMatchObject({ status: 200, answer: 'ok' })
    expect(server.connections()).toBe(3)
  })

  test.each([301, 302, 303, 307, 308])('is not redirected by %i: no loop is ever begun', async (status) => {
    const server = await httpServer((_request, response) => response.writeHead(status, { location: '/hook' }).end())
    expect(await post(outbound(), server.url)).toMatchObject({ status })
    expect(server.requests).toHaveLength(1)
  })

  test('cannot set headers that are the client’s own, nor break out of one', async () => {
    const server = await httpServer((_request, response) => response.end())
    const client = outbound()
    expect(await post(client, server.url, { headers: { Host: 'x' } })).toMatchObject({
      error: expect.stringMatching(/^The header "Host" is/),
    })
    const broken = await post(client, server.url, { headers: { 'x-a': 'b\r\nc: d' } })
    expect(broken).toMatchObject({ error: expect.stringMatching(/^The request could not be made: Invalid character in header/) })
    expect(server.connections()).toBe(0)
  })

  test('that is under way when the client closes has failed', async () => {
    const server = await httpServer(() => {})
    const client = outbound()
    const attempt = post(client, server.url)
    await until(() => server.requests.length > 0, 'the request')
    client.close()
    expect(await attempt).toMatchObject({ error: expect.stringMatching(/closed the connection before it answered$/) })
  })
})

describe('an answer', () => {
  const endless = (response: ServerResponse, chunk: string) => {
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', write)
    write()
  }

  test('of ten gigabytes is cut off: its first kilobyte is kept', async () => {
    const server = await httpServer((request, response) => {
      request.resume()
      response.writeHead(200, { 'content-length': 10_000_000_000 })
      endless(response, 'y'.repeat(64 * 1024))
    })
    const attempt = await post(outbound(), server.url)
    expect(attempt).toMatchObject({ status: 200, answer: 'y'.repeat(1024) })
    const { socket } = server.requests[0]!
    await until(() => socket.destroyed, 'the end of the connection')
    expect(socket.bytesWritten).toBeLessThan(20_000_000)
  })

  test('is text that Postgres can hold, and no character is cut in two', async () => {
    const server = await httpServer((_request, response) => response.end(`\0${'ü'.repeat(1_000)}`))
    expect(await post(outbound(), server.url)).toMatchObject({ answer: `\uFFFD${'ü'.repeat(511)}` })
  })

  test('whose body comes a byte at a time counts with its status, at the deadline', async () => {
    const server = await httpServer((_request, response) => {
      response.writeHead(200)
      everyFewMs(() => response.write('z'))
    })
    const attempt = await post(outbound({ deadlineMs: 300 }), server.url)
    expect(attempt).toMatchObject({ status: 200, answer: expect.stringMatching(/^z+$/) })
    await until(() => server.requests[0]?.socket.destroyed, 'the end of the connection')
  })

  test('whose body breaks off counts with its status', async () => {
    const server = await httpServer((request, response) => {
      response.writeHead(500, { 'content-length': 100 })
      response.write('half', () => request.socket.destroy())
    })
    expect(await post(outbound(), server.url)).toMatchObject({ status: 500, answer: 'half' })
  })
})

describe('a receiver that', () => {
  const late = { deadlineMs: 500 }
  const refusing = async () => {
    const server = createTcpServer()
    const port = await listening(server)
    server.close()
    await once(server, 'close')
    return `http://127.0.0.1:${port}/hook`
  }

  test.each<[title: string, url: () => Promise<string>, words: RegExp]>([
    ['never answers has no answer within the deadline', () => tcpServer((socket) => socket.resume()), /gave no answer within 0\.5 s$/],
    ['does not even read has no answer within the deadline', () => tcpServer((socket) => socket.pause()), /gave no answer within 0\.5 s$/],
    [
      'sends its headers a byte at a time has no answer within the deadline',
      () =>
        tcpServer((socket) => {
          socket.resume().write('HTTP/1.1 200 OK\r\nx: ')
          everyFewMs(() => socket.write('x'))
        }),
      /gave no answer within 0\.5 s$/,
    ],
    [
      'says for ever that it goes on has no answer within the deadline',
      () =>
        tcpServer((socket) => {
          socket.resume()
          everyFewMs(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'))
        }),
      /gave no answer within 0\.5 s$/,
    ],
    [
      'closes at once closed before it answered',
      () => tcpServer((socket) => socket.destroy()),
      /closed the connection before it answered$/,
    ],
    [
      'closes after the request closed before it answered',
      () => tcpServer((socket) => socket.on('data', () => socket.end())),
      /closed the connection before it answered$/,
    ],
    [
      'switches protocols has not answered',
      () => tcpServer((socket) => socket.resume().write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n')),
      /closed the connection before it answered$/,
    ],
    [
      'has headers without end is cut off',
      () => tcpServer((socket) => socket.resume().write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`)),
      /^The headers of the answer are larger than 16 kB$/,
    ],
    [
      'speaks something else is understood as that',
      () => tcpServer((socket) => socket.resume().write('SSH-2.0-OpenSSH_9.9\r\n')),
      /^The answer is not HTTP: /,
    ],
    ['is not there refuses connections', refusing, /refuses connections: nothing listens there$/],
  ])('%s', async (_title, url, words) => {
    const attempt = await post(outbound(late), await url(), { body: 'x'.repeat(1_000_000) })
    expect(attempt).toEqual({ ms: expect.any(Number), error: expect.stringMatching(words) })
    expect(attempt.ms).toBeLessThan(5_000)
  })
})

describe('a name', () => {
  const host = 'erp.example.com'

  test('leads to the very address that was checked, under its own name', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { asked, resolve } = names(['127.0.0.1'])
    expect(await post(outbound({ resolve }), server.of(host))).toMatchObject({ status: 200 })
    expect(asked).toEqual([host])
    expect(server.requests[0]?.headers.host).toBe(`${host}:${server.port}`)
  })

  test('is checked for each connection: once it moves to a refused address, nothing is sent any more', async () => {
    const server = await httpServer((_request, response) => response.setHeader('connection', 'close').end())
    const { resolve } = names(['127.0.0.1'], ['169.254.169.254'])
    const client = outbound({ resolve })
    expect(await post(client, server.of(host))).toMatchObject({ status: 200 })
    expect(await post(client, server.of(host))).toMatchObject({
      error: `${host} is not sent to: 169.254.169.254 is the metadata service of a cloud provider: webhooks do not go there`,
    })
    expect(server.requests).toHaveLength(1)
  })

  test('that moves while its connection lives gains nothing: that goes to the checked address', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { asked, resolve } = names(['127.0.0.1'], ['169.254.169.254'])
    const client = outbound({ resolve })
    for (let n = 0; n < 3; n++) expect(await post(client, server.of(host))).toMatchObject({ status: 200 })
    expect([asked.length, server.connections()]).toEqual([1, 1])
  })

  test('with one refused address among others is refused, before any connection', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { resolve } = names(['127.0.0.1', '::ffff:169.254.1.1'])
    const attempt = await post(outbound({ resolve }), server.of(host))
    expect(attempt).toMatchObject({ error: expect.stringMatching(/::ffff:169\.254\.1\.1 is link-local/) })
    expect(server.connections()).toBe(0)
  })

  test('is tried at each of its addresses', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { resolve } = names(['127.0.0.99', '127.0.0.1'])
    expect(await post(outbound({ resolve }), server.of(host))).toMatchObject({ status: 200 })
  })

  test('of a private address is refused where private networks are not allowed', async () => {
    const { resolve } = names(['10.0.0.5'])
    const client = outbound({ allowPrivate: false, resolve })
    expect(await post(client, `https://${host}/`)).toMatchObject({
      error: `${host} is not sent to: 10.0.0.5 is in a private network: webhooks do not go there ${settingsOf('dispatcher')}`,
    })
  })

  test('of a public address is refused at a port that only a named network may have', async () => {
    const client = outbound({ allowPrivate: false, allowNetworks: ['10.0.0.0/8'], resolve: names(['8.8.8.8']).resolve })
    expect(await post(client, `https://${host}:22/`)).toMatchObject({ error: expect.stringMatching(/Port 22 is not one/) })
  })

  test('whose DNS does not answer in time says so', async () => {
    const client = outbound({ deadlineMs: 50, resolve: () => new Promise(() => {}) })
    expect(await post(client, `https://${host}/`)).toMatchObject({ error: `DNS gave no answer for ${host} within 0.05 s` })
  })

  test.each([
    ['ENOTFOUND', `The name ${host} has no address in DNS`],
    ['ESERVFAIL', `DNS gave no answer for ${host} (ESERVFAIL)`],
  ])('that DNS answers with %s says so', async (code, error) => {
    const client = outbound({ resolve: () => Promise.reject(Object.assign(new Error(code), { code })) })
    expect(await post(client, `https://${host}/`)).toMatchObject({ error })
  })

  test('without any address says so', async () => {
    expect(await post(outbound({ resolve: names([]).resolve }), `https://${host}/`)).toMatchObject({ error: `${host} has no address` })
  })
})

describe('where processes are set otherwise', () => {
  const https = 'https:/'

  test.each([
    [`${https}/10.0.0.5/`, { allowNetworks: ['10.0.0.0/8'] }],
    ['https://erp.example.com:50001/', { allowNetworks: ['10.0.0.0/8'] }],
    ['http://erp.example.com/', { allowPrivate: true }],
    ['https://localhost/', { allowPrivate: true }],
  ])('%s is accepted by one, and the other that refuses it says by which settings, and who must share them', async (url, rules) => {
    expect(outbound({ process: 'api', allowPrivate: false, ...rules }).refusal(url)).toBeUndefined()
    const worker = outbound({ process: 'worker', allowPrivate: false })
    expect(worker.refusal(url)).toContain(` ${settingsOf('worker')}`)
    expect(await post(worker, url)).toEqual({ ms: expect.any(Number), error: worker.refusal(url) })
  })

  test.each([`${https}/169.254.169.254/`, 'https://x@erp.example.com/', 'ftp://erp.example.com/', 'no'])(
    '%s, which no setting allows, is refused without a word of them',
    async (url) => {
      const client = outbound({ allowPrivate: false })
      expect(client.refusal(url)).not.toContain('CASTOR_')
      expect(await post(client, url)).toEqual({ ms: expect.any(Number), error: client.refusal(url) })
    },
  )
})

test('a URL that is refused by itself is not asked of DNS', async () => {
  const { asked, resolve } = names(['8.8.8.8'])
  const client = outbound({ allowPrivate: false, resolve })
  for (const url of ['http://erp.example.com', 'https://localhost', 'https://x@erp.example.com', 'https://erp.example.com:22', 'no'])
    expect(await post(client, url)).toEqual({ ms: expect.any(Number), error: client.refusal(url) })
  expect(asked).toEqual([])
})
