/**
 * The `postgres` driver, with five faults of 3.4.9 mended while it is loaded (upstream issues 1154, 1208, 1216; pull requests 1209
 * and 1215 are open). Three show when a connection is lost inside `begin` or `reserve`, which is what happens whenever Postgres is
 * restarted or a transaction takes too long, and no caller can do anything about them:
 *
 * 1. the driver's own rollback writes to a socket that is gone: an exception from a timer, which ends the process;
 * 2. what was about to be written stays, so that the connection never gets through its next start: its slot in the pool is lost;
 * 3. statements of the lost transaction run on the connection's next session, inside another's transaction.
 *
 * And a fourth, when a connection is lost while it starts: nobody takes the rejection of the driver's own first query, which ends the
 * process. The connection itself is started again all the same.
 *
 * A fifth: what Postgres says against a COPY after its last byte was sent (a key that is there, no partition) reached nobody, and the
 * writable stream never ended.
 *
 * Drop this file when a release has the fixes: an edit that does not find its text is an error at start.
 */
import { registerHooks } from 'node:module'

type Edit = [from: string, to: string]

const CONNECTION_EDITS: Edit[] = [
  ['        return fetchArrayTypes()\n', '        return fetchArrayTypes().catch(() => {})\n'],
  [
    '    stream && (stream.destroy(err), stream = null)\n',
    '    stream && (stream.destroy(err), stream = null)\n    final && (final(err), final = null)\n',
  ],
  [
    '    const x = socket.write(chunk, fn)\n',
    `    if (!socket) {
      chunk = nextWriteTimer = null
      error(Errors.connection('CONNECTION_CLOSED', options))
      return false
    }
    const x = socket.write(chunk, fn)\n`,
  ],
  [
    "    clearImmediate(nextWriteTimer)\n    socket.removeListener('data', data)\n",
    "    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null\n    socket.removeListener('data', data)\n",
  ],
  [
    "    !hadError && (query || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))\n",
    `    ;(query || stream || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))
    query = results = errorResponse = null
    result = new Result()\n`,
  ],
]

const POOL_EDITS: Edit[] = [
  // begin
  [
    '        new Promise((_, reject) => connection.onclose = reject)\n',
    '        new Promise((_, reject) => connection.onclose = e => (lost = e, reject(e)))\n',
  ],
  ['    let savepoints = 0\n      , connection\n', '    let savepoints = 0\n      , lost = null\n      , connection\n'],
  [
    '        q.catch(e => uncaughtError || (uncaughtError = e))\n',
    '        q.catch(e => uncaughtError || (uncaughtError = e))\n        if (lost)\n          return q.reject(lost)\n',
  ],
  [
    '        await (name\n          ? sql`rollback to ${ sql(name) }`\n          : sql`rollback`\n        )\n',
    '        await (name\n          ? sql`rollback to ${ sql(name) }`\n          : sql`rollback`\n        ).catch(x => { if (!lost && x.severity !== "FATAL" && !/^CONNECTION_|^E[A-Z]+$/.test(x.code)) throw x })\n',
  ],
  // reserve
  [
    '    c.reserved.release = true\n',
    '    c.reserved.release = true\n    let lost = null\n    c.onclose = e => (lost = e, queue.length && queue.shift().reject(e))\n',
  ],
  ['    sql.release = () => {\n', '    sql.release = () => {\n      if (lost)\n        return\n      c.onclose = null\n'],
  [
    '    function handler(q) {\n      c.queue === full\n',
    '    function handler(q) {\n      if (lost)\n        return q.reject(lost)\n      c.queue === full\n',
  ],
]

const EDITS: Record<string, Edit[]> = { 'connection.js': CONNECTION_EDITS, 'index.js': POOL_EDITS }
const mended = new Set<string>()

const hooks = registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const file = /\/node_modules\/postgres\/src\/(connection|index)\.js$/.exec(url)?.[1]
    if (!file || !loaded.source) return loaded
    mended.add(`${file}.js`)
    return { ...loaded, source: mend(`${file}.js`, String(new TextDecoder().decode(loaded.source as Uint8Array))) }
  },
})

function mend(file: string, source: string): string {
  return EDITS[file]!.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`infra/postgres/driver.ts does not fit this version of postgres (${file}): ${from}`)
    return text.replace(from, () => to)
  }, source)
}

const { default: postgres } = await import('postgres')
hooks.deregister()
if (mended.size !== Object.keys(EDITS).length)
  throw new Error('postgres was imported before infra/postgres/driver.ts: import connect.ts only.')

export { postgres }
