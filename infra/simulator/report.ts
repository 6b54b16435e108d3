/** What became of the fleet's messages: figures for people, and on request each acknowledged message as a line of JSON. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { Value } from '../../twin-models/core/types.ts'
import { createHistogram, type Histogram } from './histogram.ts'
import type { Outgoing } from './message.ts'

export interface Figures {
  /** Different messages put on the wire at least once. */
  sent: number
  acknowledged: number
  /** Put on the wire again after a connection broke. */
  retried: number
  /** Castor said no. */
  refused: number
  /** Had to make room in a full device, or died with one: never acknowledged. */
  dropped: number
  connects: number
  online: number
  /** Words on `errors`. */
  told: number
  /** Different ones: a wish that is refused in part counts as refused. */
  wishes: { obeyed: number; refused: number }
  commands: { obeyed: number; refused: number; cancelled: number }
  updates: UpdateFigures
  latency: Histogram
  /** Why connections ended, with how often. */
  downs: Map<string, number>
}

export interface UpdateFigures {
  installed: number
  /** Attempts, also those that are made again. */
  failed: number
  rejected: number
  /** Booted what ran before. */
  returned: number
  /** Never came back. */
  bricked: number
  /** Downloaded. */
  bytes: number
  /** How often a download went on where it had broken off. */
  resumes: number
}

export function createFigures(): Figures {
  const zero = { sent: 0, acknowledged: 0, retried: 0, refused: 0, dropped: 0, connects: 0, online: 0, told: 0 }
  const asked = { wishes: { obeyed: 0, refused: 0 }, commands: { obeyed: 0, refused: 0, cancelled: 0 } }
  const updates = { installed: 0, failed: 0, rejected: 0, returned: 0, bricked: 0, bytes: 0, resumes: 0 }
  return { ...zero, ...asked, updates, latency: createHistogram(), downs: new Map() }
}

/** A line of the report. `times` says what Castor must have made of the time: the device's own, or that of receipt (its clock was wrong). */
export interface AcknowledgedMessage {
  device: string
  kind: Outgoing['kind']
  name?: string
  id?: string
  ts: number
  times: 'own' | 'receipt'
  values: Record<string, Value>
  mark?: string
  sentAt: number
  ackedAt: number
  attempts: number
}

export function acknowledgedMessage(device: string, message: Outgoing, ackedAt: number): AcknowledgedMessage {
  const { kind, name, id, ts, claimedTs, values, mark, sentAt, attempts } = message
  return {
    device,
    kind,
    ...(name !== undefined && { name }),
    ...(id !== undefined && { id }),
    ts,
    times: claimedTs === undefined ? 'own' : 'receipt',
    values,
    ...(mark !== undefined && { mark }),
    sentAt,
    ackedAt,
    attempts,
  }
}

export interface ReportFile {
  add(line: AcknowledgedMessage): void
  close(): void
}

const FLUSH_CHARACTERS = 64 * 1024

/** Written at once in large pieces: nothing piles up in memory, and a slow disk slows the fleet instead. */
export function openReportFile(path: string): ReportFile {
  const file = openSync(path, 'w')
  let text = ''
  const flush = () => {
    if (text.length > 0) writeSync(file, text)
    text = ''
  }
  return {
    add(line) {
      text += `${JSON.stringify(line)}\n`
      if (text.length >= FLUSH_CHARACTERS) flush()
    },
    close() {
      flush()
      closeSync(file)
    },
  }
}
