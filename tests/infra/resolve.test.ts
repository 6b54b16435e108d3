/** Names and their addresses, asked of a DNS server of our own. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { resolveName } from '../../infra/http/resolve.ts'

const TYPE = { A: 1, AAAA: 28 }
const CODE = { ok: 0, serverFailed: 2, unknownName: 3 }
type Reply = { code: number; addresses: number[][] } | undefined

const closing: Array<() => void> = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** Answers each question with what `reply` gives for its type; undefined is silence. */
async function dnsServer(reply: (type: number) => Reply) {
  const socket = createSocket('udp4')
  closing.push(() => socket.close())
  const asked = { count: 0 }
  socket.on('message', (query, { port, address }) => {
    asked.count++
    // The question: a name that ends with a zero, a type, a class.
    const end = query.indexOf(0, 12) + 5
    const type = query.readUInt16BE(end - 4)
    const given = reply(type)
    if (!given) return
    const head = Buffer.from(query.subarray(0, 12))
    head.writeUInt16BE(0x8180 | given.code, 2)
    head.writeUInt16BE(given.addresses.length, 6)
    head.writeUInt32BE(0, 8)
    // The name is that of the question; class 1, a minute.
    const records = given.addresses.map((bytes) => Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes]))
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records]), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    asked,
    resolve: (name: string, signal = new AbortController().signal) => resolveName(name, signal, [`127.0.0.1:${socket.address().port}`]),
  }
}

const V4 = [
  [192, 0, 2, 1],
  [192, 0, 2, 2],
]
const V6 = [[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
const found = (addresses: number[][]): Reply => ({ code: CODE.ok, addresses })
const none: Reply = { code: CODE.unknownName, addresses: [] }
const failed: Reply = { code: CODE.serverFailed, addresses: [] }

describe('a name', () => {
  test.each<[title: string, v4: Reply, v6: Reply, addresses: string[]]>([
    ['has all its addresses, IPv4 first', found(V4), found(V6), ['192.0.2.1', '192.0.2.2', '2001:db8::1']],
    ['may have IPv4 only', found(V4), found([]), ['192.0.2.1', '192.0.2.2']],
    ['may have IPv6 only', found([]), found(V6), ['2001:db8::1']],
    ['has those that there are, where DNS fails on the others', found(V4), failed, ['192.0.2.1', '192.0.2.2']],
  ])('%s', async (_title, v4, v6, addresses) => {
    const { resolve } = await dnsServer((type) => (type === TYPE.A ? v4 : v6))
    expect(await resolve('erp.example.com')).toEqual(addresses)
  })

  test('that DNS does not know is looked up as the machine does', async () => {
    const { resolve, asked } = await dnsServer(() => none)
    // A name that the machine knows by itself.
    expect(await resolve('127.0.0.1')).toEqual(['127.0.0.1'])
    expect(asked.count).toBeGreaterThan(0)
  })

  test('of this machine is not asked of DNS', async () => {
    const { resolve, asked } = await dnsServer(() => none)
    expect(await resolve('localhost')).toContain('127.0.0.1')
    expect(asked.count).toBe(0)
  })

  test('on which DNS fails has no address', async () => {
    const { resolve } = await dnsServer(() => failed)
    await expect(resolve('erp.example.com')).rejects.toMatchObject({ code: 'ESERVFAIL' })
  })

  test('whose DNS is silent is given up when nobody waits any more', async () => {
    const { resolve } = await dnsServer(() => undefined)
    await expect(resolve('erp.example.com', AbortSignal.timeout(50))).rejects.toMatchObject({ code: 'ECANCELLED' })
  })
})
