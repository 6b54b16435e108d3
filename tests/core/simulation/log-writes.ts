/** The bridge's side of the ingest log in memory: what infra/postgres/ingest-log.ts does in Postgres. */
import type { Commit } from '../../../api/ingest/log.ts'
import type { EntryRecord, MemoryDatabase } from '../../support/memory-database.ts'

/** All of the commit or nothing; the same commit a second time changes nothing. */
export function writeCommit(db: MemoryDatabase, commit: Commit): 'written' | 'closed' {
  const stream = db.streams.get(commit.stream)!
  // Numbered from 1 without a gap.
  const last = stream.entries.length
  const known = stream.entries[commit.seq - 1]?.at === commit.at
  if (stream.closedAt !== null) return known ? 'written' : 'closed'
  stream.beatAt = db.clock()
  if (known) return 'written'
  if (commit.seq !== last + 1) throw new Error(`stream ${commit.stream} jumps from ${last} to ${commit.seq}`)
  stream.entries.push(...entriesOf(commit))
  return 'written'
}

export function closeStream(db: MemoryDatabase, stream: number): void {
  const record = db.streams.get(stream)
  if (record && record.closedAt === null) record.closedAt = db.clock()
}

function entriesOf({ stream, seq, at, lanes, heads, lengths, body }: Commit): EntryRecord[] {
  let start = 0
  return lanes.map((lane, i) => {
    const end = start + lengths[i]!
    const entry = { stream, seq: seq + i, lane, at, heads: heads[i]!, body: body.subarray(start, end) }
    start = end
    return entry
  })
}
