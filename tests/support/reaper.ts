/** Reads lines {identity, signal} or {folder}; at the end of its input it ends those processes and then removes those folders. */
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { type ProcessIdentity, stopProcess } from '../../infra/processes/identity.ts'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

const processes: Array<{ identity: ProcessIdentity; signal: NodeJS.Signals }> = []
const folders: string[] = []
for await (const line of createInterface({ input: process.stdin })) {
  const what = JSON.parse(line)
  if (what.folder) folders.push(what.folder)
  else processes.push(what)
}
await Promise.all(
  processes.map(({ identity, signal }) =>
    stopProcess(identity, [
      { signal, waitMs: 8_000 },
      { signal: 'SIGKILL', waitMs: 3_000 },
    ]),
  ),
)
for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
