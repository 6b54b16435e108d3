/** What Castor acknowledged, kept on disk so that a run of hours fits into memory; read again to be compared with what is there. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { type AcknowledgedMessage, openReportFile } from '../../infra/simulator/report.ts'

export interface Ledger {
  add(message: AcknowledgedMessage): void
  /** After this nothing can be added, and it can be read. */
  close(): void
  /** In pieces of at most `size`. */
  read(size: number): AsyncIterable<AcknowledgedMessage[]>
  readonly count: number
}

export function createLedger(file: string): Ledger {
  const report = openReportFile(file)
  let count = 0
  return {
    add(message) {
      count += 1
      report.add(message)
    },
    close: report.close,
    read: (size) => piecesOf(file, size),
    get count() {
      return count
    },
  }
}

async function* piecesOf(file: string, size: number): AsyncIterable<AcknowledgedMessage[]> {
  let piece: AcknowledgedMessage[] = []
  for await (const line of createInterface({ input: createReadStream(file) })) {
    piece.push(JSON.parse(line))
    if (piece.length < size) continue
    yield piece
    piece = []
  }
  if (piece.length > 0) yield piece
}
