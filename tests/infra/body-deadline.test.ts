/** Bodies that come too slowly, over real HTTP. */
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { limitBodies } from '../../infra/http/body-deadline.ts'
import { until } from '../support/wait.ts'

const DEADLINE_MS = 100
let server: Server

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume().on('end', () => response.end('all of it'))
  })
  limitBodies(server, DEADLINE_MS, ({ url }) => url === '/upload')
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

function begin(path: string): { socket: Socket; answer(): string; isClosed(): boolean } {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  let answer = ''
  let isClosed = false
  socket.on('data', (data) => (answer += data))
  socket.on('close', () => (isClosed = true))
  socket.on('error', () => {})
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345`)
  return { socket, answer: () => answer, isClosed: () => isClosed }
}

test('one is answered with 408 and cut off; that of an upload is waited for', async () => {
  const [upload, other] = [begin('/upload'), begin('/other')]
  await until(() => other.isClosed(), 'the other is cut off')
  expect(other.answer()).toMatch(/^HTTP\/1.1 408 /)
  expect([upload.answer(), upload.isClosed()]).toEqual(['', false])
  upload.socket.write('67890')
  await until(() => upload.answer().includes('all of it'), 'the upload is answered')
  upload.socket.destroy()
})

test('one that was there in time leaves its connection to those that follow', async () => {
  const { socket, answer, isClosed } = begin('/other')
  socket.write('67890')
  await until(() => answer().includes('all of it'), 'the first is answered')
  const start = performance.now()
  await until(() => performance.now() - start > DEADLINE_MS * 1.5, 'the deadline of the first has passed')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await until(() => answer().match(/all of it/g)?.length === 2, 'the second is answered')
  expect(isClosed()).toBe(false)
  socket.destroy()
})
