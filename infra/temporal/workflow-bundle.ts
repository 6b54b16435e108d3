/**
 * The workflow bundle, built once per content: the worker's start must not wait for webpack each time.
 *
 * The key is a hash over every source that can be in it and the SDK's version. Old bundles are removed when a new one is written.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { bundleWorkflowCode, type Logger } from '@temporalio/worker'

const ROOT = join(import.meta.dirname, '../..')
/** The folders that workflow code may import from (docs/architecture.md §9). */
const SOURCES = ['workflows', 'twin-models']

export interface WorkflowBundle {
  codePath: string
}

export interface BundleOptions {
  /** Where bundles are kept. */
  folder: string
  logger: Logger
  /** Other workflows than Castor's, for tests. */
  workflowsPath?: string
}

export async function workflowBundle(options: BundleOptions): Promise<WorkflowBundle> {
  const { folder, logger, workflowsPath = join(ROOT, 'workflows/index.ts') } = options
  const name = `workflows-${await contentHash(workflowsPath)}.js`
  const codePath = join(folder, name)
  if (await exists(codePath)) return { codePath }

  const { code } = await bundleWorkflowCode({ workflowsPath, logger })
  await mkdir(folder, { recursive: true })
  const draft = `${codePath}.${process.pid}`
  await writeFile(draft, code)
  await rename(draft, codePath)
  await removeOthers(folder, name)
  return { codePath }
}

async function contentHash(workflowsPath: string): Promise<string> {
  const hash = createHash('sha256')
  const require = createRequire(import.meta.url)
  hash.update(`${require('@temporalio/worker/package.json').version} ${workflowsPath}`)
  for (const folder of SOURCES) {
    const files = await readdir(join(ROOT, folder), { recursive: true })
    for (const file of files.filter((path) => path.endsWith('.ts')).sort()) {
      hash.update(`\n${folder}/${file}\n`).update(await readFile(join(ROOT, folder, file)))
    }
  }
  return hash.digest('hex').slice(0, 16)
}

/** Another worker may still be reading the newest ones; older ones nobody needs. */
async function removeOthers(folder: string, keep: string): Promise<void> {
  const hourAgo = Date.now() - 3_600_000
  for (const file of await readdir(folder)) {
    if (!file.startsWith('workflows-') || file === keep) continue
    const { mtimeMs } = await stat(join(folder, file)).catch(() => ({ mtimeMs: Infinity }))
    if (mtimeMs < hourAgo) await rm(join(folder, file), { force: true })
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
