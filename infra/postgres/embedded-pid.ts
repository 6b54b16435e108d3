/** What a Postgres that was killed leaves behind: its pid, which by now may be somebody else's. */
import { readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * A server that was killed leaves postmaster.pid, and the next refuses to start while some process of the same user has that pid (usual
 * in containers, where pids are small). Where it is provably another process, our own pid goes there, which Postgres ignores as its
 * parent's. The file stays, because it also names the shared memory that backends of the dead server may still use. It is written in
 * place, since Postgres never starts with the empty one that a full disk would leave of it.
 */
export async function forgetForeignPid(folder: string): Promise<void> {
  const file = join(folder, 'postmaster.pid')
  const content = await readFile(file, 'utf8').catch(() => null)
  if (content === null || process.platform !== 'linux') return
  const pid = Number.parseInt(content, 10)
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null)
  if (workingFolder === null || workingFolder === folder) return
  const ours = content.replace(/^\d+/, (theirs) => String(process.pid).padEnd(theirs.length))
  await writeFile(file, ours, { flag: 'r+' })
}
