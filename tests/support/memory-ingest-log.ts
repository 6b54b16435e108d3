/** The ingest log in memory: for the simulation, and for tests that need no Postgres. Held to the same conformance suite. */
import type { Commit, IngestLogStore } from '../../api/ingest/log.ts'

export interface StoredEntry {
  stream: number
  seq: number
  lane: number
  at: number
  heads: string
  body: Buffer
}

export class MemoryIngestLog implements IngestLogStore {
  readonly entries: StoredEntry[] = []
  readonly streams: Array<{ stream: number; closed: boolean }> = []

  async open(): Promise<number> {
    const stream = this.streams.length + 1
    this.streams.push({ stream, closed: false })
    return stream
  }

  async write(commit: Commit): Promise<'written' | 'closed'> {
    if (this.entries.some(({ stream, seq }) => stream === commit.stream && seq === commit.seq)) return 'written'
    if (this.streams[commit.stream - 1]?.closed !== false) return 'closed'
    let start = 0
    commit.lanes.forEach((lane, i) => {
      const end = start + commit.lengths[i]!
      const body = Buffer.from(commit.body.subarray(start, end))
      this.entries.push({ stream: commit.stream, seq: commit.seq + i, lane, at: commit.at, heads: commit.heads[i]!, body })
      start = end
    })
    return 'written'
  }

  async close(stream: number): Promise<void> {
    this.streams[stream - 1]!.closed = true
  }

  async end(): Promise<void> {}
}
