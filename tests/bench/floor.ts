/**
 * The floor: the least that a durable MQTT ingest can be, to divide by. aedes, and a group commit of the raw payload by `unnest`
 * over two connections; no identity, no log that can be read in order, no processing. A process of its own, as the bridge is.
 *
 * node tests/bench/floor.ts DATABASE_URL   (the parent learns the port over IPC)
 */
import net from 'node:net'
import { Aedes, type Client } from 'aedes'
import { connect } from '../../infra/postgres/connect.ts'

const WRITERS = 2
const BATCH = 4000

type Done = (error?: Error | null) => void
interface Waiting {
  client: string
  payload: string
  /** Answered in the order in which its client sent them (MQTT-4.6.0-2). */
  gate: Gate
  done: Done
  durable: boolean
}
type Gate = Waiting[]

const [url] = process.argv.slice(2)
const sql = connect(url!, { max: WRITERS, name: 'floor' })
await sql`drop table if exists floor`
await sql`create table floor (id bigint generated always as identity primary key, client text not null, payload text not null)`

const gates = new WeakMap<Client, Gate>()
const waiting: Waiting[] = []
let idle = WRITERS

const broker = await Aedes.createBroker({
  authorizePublish(client, packet, done) {
    if (!client) return done()
    const gate = gates.get(client) ?? []
    if (gate.length === 0) gates.set(client, gate)
    const message = { client: client.id, payload: packet.payload.toString(), gate, done, durable: false }
    gate.push(message)
    waiting.push(message)
    if (idle > 0) setImmediate(commit)
  },
})
const server = net.createServer({ noDelay: true }, broker.handle)
server.listen(0, '127.0.0.1', 4096, () => process.send?.({ port: (server.address() as net.AddressInfo).port }))
process.on('disconnect', () => process.exit(0))

async function commit(): Promise<void> {
  if (idle === 0 || waiting.length === 0) return
  idle--
  const batch = waiting.splice(0, BATCH)
  await sql`
    insert into floor (client, payload)
    select * from unnest(${batch.map((m) => m.client)}::text[], ${batch.map((m) => m.payload)}::text[])`
  idle++
  for (const message of batch) message.durable = true
  for (const { gate } of batch) while (gate[0]?.durable) gate.shift()!.done()
  if (waiting.length > 0) setImmediate(commit)
}
