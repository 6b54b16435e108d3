/** Makes one commit of many messages: an entry a lane, as columns. Thirty thousand messages a second pass here. */
import { type Commit, HEARTBEAT_LANE, headOf, LANES, laneOf, type Message } from './log.ts'

/** Groups messages by lane, in their order. Numbers entries from `seq`; a heartbeat comes last. */
export function encodeCommit(stream: number, seq: number, at: number, messages: Message[], withBeat: boolean): Commit {
  const heads = new Array<string>(LANES).fill('')
  const sizes = new Array<number>(LANES).fill(0)
  for (const message of messages) {
    const lane = laneOf(message.incarnation)
    heads[lane] += heads[lane] === '' ? encodeHead(message) : `,${encodeHead(message)}`
    sizes[lane]! += message.payload.length
  }
  const commit: Commit = { stream, seq, at, lanes: [], heads: [], lengths: [], body: gather(messages, sizes) }
  for (let lane = 0; lane < LANES; lane++) {
    if (heads[lane] !== '') addEntry(commit, lane, `[${heads[lane]}]`, sizes[lane]!)
  }
  if (withBeat) addEntry(commit, HEARTBEAT_LANE, '[]', 0)
  return commit
}

function addEntry(commit: Commit, lane: number, heads: string, length: number): void {
  commit.lanes.push(lane)
  commit.heads.push(heads)
  commit.lengths.push(length)
}

/** The usual head without JSON.stringify, which costs more than all else here. */
function encodeHead(m: Message): string {
  const plain = m.name === undefined && m.id === undefined && m.contentType === undefined && m.trace === undefined
  if (!plain || m.size !== m.payload.length) return JSON.stringify(headOf(m))
  const start = `[${m.incarnation},"${m.kind}",${m.receivedAt},${m.payload.length}`
  return m.connection === undefined ? `${start}]` : `${start},null,${m.connection}]`
}

/** One buffer with the payloads, lane after lane. */
function gather(messages: Message[], sizes: number[]): Buffer {
  const at = new Array<number>(LANES)
  let total = 0
  for (let lane = 0; lane < LANES; lane++) {
    at[lane] = total
    total += sizes[lane]!
  }
  const body = Buffer.allocUnsafe(total)
  for (const { incarnation, payload } of messages) {
    const lane = laneOf(incarnation)
    body.set(payload, at[lane]!)
    at[lane]! += payload.length
  }
  return body
}
