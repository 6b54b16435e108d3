/**
 * Telemetry rows in Postgres' binary COPY format (documentation, COPY, "Binary Format"), written by hand into one buffer: it is the
 * hottest loop of the processor.
 */
import type { DeviceReading } from '../../api/ingest/lane-store.ts'

/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
/** Field count, then per field a length, and the data of those whose size is fixed. */
const FIXED_BYTES = 2 + 7 * 4 + 4 + 4 + 8 + 8 + 8

export function encodeTelemetry(unsorted: DeviceReading[]): Buffer {
  const readings = unsorted.sort(inIndexOrder)
  let bytes = SIGNATURE.length + 2
  const others: Array<Buffer | null> = []
  const ids: Array<Buffer | null> = []
  for (const { value, messageId } of readings) {
    const other = typeof value === 'number' ? null : Buffer.from(JSON.stringify(value))
    const id = messageId === undefined ? null : Buffer.from(messageId)
    others.push(other)
    ids.push(id)
    bytes += FIXED_BYTES + (other?.length ?? 0) + (id?.length ?? 0)
  }
  const out = Buffer.allocUnsafe(bytes)
  SIGNATURE.copy(out)
  let at = SIGNATURE.length
  for (let n = 0; n < readings.length; n++) {
    const { incarnation, property, ts, receivedAt, value } = readings[n] as DeviceReading
    at = out.writeInt16BE(7, at)
    at = out.writeInt32BE(4, at)
    at = out.writeInt32BE(incarnation, at)
    at = out.writeInt32BE(4, at)
    at = out.writeInt32BE(property, at)
    at = writeTime(out, ts, at)
    at = writeTime(out, receivedAt, at)
    if (typeof value === 'number') {
      at = out.writeInt32BE(8, at)
      at = out.writeDoubleBE(value, at)
    } else {
      at = out.writeInt32BE(-1, at)
    }
    at = writeBytes(out, others[n] as Buffer | null, at)
    at = writeBytes(out, ids[n] as Buffer | null, at)
  }
  return out.subarray(0, out.writeInt16BE(-1, at))
}

/** Rows that come in the order of their index cost Postgres a third less, and leave its pages fuller. */
function inIndexOrder(a: DeviceReading, b: DeviceReading): number {
  return a.incarnation - b.incarnation || a.property - b.property || a.ts - b.ts
}

function writeTime(out: Buffer, epochMs: number, at: number): number {
  // Below 2^53, so two 32-bit halves are exact, and no BigInt is made for each value.
  const microseconds = (epochMs - POSTGRES_EPOCH_MS) * 1000
  out.writeInt32BE(8, at)
  out.writeInt32BE(Math.floor(microseconds / 4_294_967_296), at + 4)
  out.writeUInt32BE(microseconds >>> 0, at + 8)
  return at + 12
}

function writeBytes(out: Buffer, bytes: Buffer | null, at: number): number {
  if (bytes === null) return out.writeInt32BE(-1, at)
  const next = out.writeInt32BE(bytes.length, at)
  bytes.copy(out, next)
  return next + bytes.length
}
