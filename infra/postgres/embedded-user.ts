/**
 * Postgres refuses to run as root. Under root (containers, mostly) it runs as the system user `postgres`, which is made when it is
 * missing, and that user must be able to reach the programs and the data folder.
 */
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const NAME = 'postgres'

/** Spread into spawn options; empty when we are not root. */
export interface SystemUser {
  uid?: number
  gid?: number
}

export async function unprivilegedUser(paths: string[]): Promise<SystemUser> {
  if (process.getuid?.() !== 0) return {}
  const user = (await lookUp()) ?? (await create())
  for (const path of paths) await requireReach(path, user)
  return user
}

async function lookUp(): Promise<Required<SystemUser> | null> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => Number((await execute('id', [flag, NAME])).stdout)))
    return { uid: uid!, gid: gid! }
  } catch {
    return null
  }
}

async function create(): Promise<Required<SystemUser>> {
  try {
    await execute('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', NAME])
  } catch (error) {
    throw new Error(
      `Postgres does not run as root, and the system user ${NAME} could not be made (${(error as Error).message.trim()}). ` +
        'Run Castor as another user, or set DATABASE_URL.',
    )
  }
  const user = await lookUp()
  if (!user) throw new Error(`The system user ${NAME} was made but cannot be found.`)
  return user
}

/** Every folder above must let that user through. */
export async function requireReach(path: string, { uid, gid }: Required<SystemUser>): Promise<void> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const info = await stat(folder)
    const bit = info.uid === uid ? 0o100 : info.gid === gid ? 0o010 : 0o001
    if ((info.mode & bit) === 0)
      throw new Error(
        `Under root, Postgres runs as the user ${NAME}, which cannot enter ${folder} (needed for ${path}). ` +
          `Run Castor as another user, or move it to where everybody may enter, or: chmod o+x ${folder}`,
      )
    if (folder === dirname(folder)) return
  }
}
