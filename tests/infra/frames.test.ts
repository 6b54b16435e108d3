import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { watchFrames } from '../../infra/mqtt/frames.ts'

const LIMITS = { first: 300, max: 20_000 }

/** What the watcher says of packets of these lengths, when they come in pieces that end at `cuts`. */
function watch(bytes: Buffer, cuts: number[]): number | undefined {
  const socket = new EventEmitter()
  let tooLong: number | undefined
  watchFrames(socket as Socket, LIMITS, (length) => {
    tooLong = length
  })
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  for (let i = 1; i < places.length; i++) socket.emit('data', bytes.subarray(places[i - 1], places[i]))
  return tooLong
}

function packet(length: number): Buffer {
  const header = [0x30]
  let rest = length
  do {
    header.push((rest & 127) | (rest > 127 ? 128 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from(header), Buffer.alloc(Math.min(length, 30_000), 0xff)])
}

const lengths = fc.array(
  fc.oneof(fc.nat(10), fc.nat(400), fc.nat(25_000), fc.constantFrom(127, 128, 300, 301, 16_383, 16_384, 20_000, 20_001)),
  {
    minLength: 1,
    maxLength: 8,
  },
)

test('the first packet that is too long is told, however the bytes are cut', () => {
  fc.assert(
    fc.property(lengths, fc.array(fc.nat(), { maxLength: 12 }), (all, cuts) => {
      const index = all.findIndex((length, i) => length > (i === 0 ? LIMITS.first : LIMITS.max))
      const told = watch(Buffer.concat(all.map(packet)), cuts)
      if (index < 0) expect(told).toBeUndefined()
      // As soon as it is known: the rest of the length may still be to come.
      else expect([told! > (index === 0 ? LIMITS.first : LIMITS.max), told! <= all[index]!]).toEqual([true, true])
    }),
    { numRuns: 500 },
  )
})

test('a length of more than four bytes is told', () => {
  expect(watch(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), [])).toBe(2 ** 28)
})

test('any bytes at all are looked at without an error', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 500 }),
      fc.array(fc.nat(), { maxLength: 5 }),
      (bytes, cuts) => void watch(Buffer.from(bytes), cuts),
    ),
  )
})
