/** The processor on a store in memory, with one bridge's stream to write messages to. Time stands where `now` is put. */

import { encodeCommit } from '../../api/ingest/commit.ts'
import type { Message, MessageKind } from '../../api/ingest/log.ts'
import { Processor } from '../../api/ingest/processor.ts'
import { writeCommit } from '../core/simulation/log-writes.ts'
import { MemoryDatabase } from './memory-database.ts'
import { memoryLaneStore } from './memory-lane-store.ts'
import { claimLanes } from './memory-leases.ts'
import { readyMade } from './ready-made-rules.ts'

export class MemoryProcessor {
  now: number
  readonly db: MemoryDatabase
  readonly processor: Processor
  readonly stream: number

  private constructor(now: number) {
    this.now = now
    const clock = (): number => this.now
    this.db = new MemoryDatabase(clock)
    const signaller = { deliver: async () => true, remove: async () => true }
    this.processor = new Processor({ makeRules: readyMade, store: memoryLaneStore(this.db), signaller, clock, pause: async () => {} })
    this.stream = this.db.openStream()
  }

  static async start(now: number): Promise<MemoryProcessor> {
    const started = new MemoryProcessor(now)
    await started.processor.takeOver(claimLanes(started.db, 'p', 16))
    return started
  }

  /** As a bridge does it. */
  accept(incarnation: number, kind: MessageKind, payload: string | object, more: Partial<Message> = {}): void {
    const bytes = Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
    const message: Message = { incarnation, kind, receivedAt: this.now, payload: bytes, size: bytes.length, ...more }
    const seq = this.db.streams.get(this.stream)!.entries.length + 1
    writeCommit(this.db, encodeCommit(this.stream, seq, this.now, [message], true))
  }
}
