/** The examples that documents show, and bash to run them as they stand there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { textOf } from './repository.ts'

const TIMEOUT_MS = 90_000

/** All blocks of that language, in their order. */
export function examplesOf(page: string, language = 'sh'): string[] {
  return blocksOf(textOf(page), language)
}

export function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter(([, kind]) => kind === language).map(([, , block]) => block!)
}

/** From a heading of the second level to the next. */
export function section(page: string, title: string): string {
  const [, found] = textOf(page).split(`\n## ${title}\n`)
  if (found === undefined) throw new Error(`${page} has no section "${title}"`)
  return found.split('\n## ')[0]!
}

export interface Ended {
  code: number | null
  output: string
  errors: string
}

/** Bash, in that folder. Files, not pipes: /dev/stderr cannot be opened where it is a socket. */
export async function runBash(folder: string, script: string, env: Record<string, string> = {}): Promise<Ended> {
  const paths = [join(folder, 'output'), join(folder, 'errors')] as const
  const files = await Promise.all(paths.map((path) => open(path, 'w')))
  const child = spawn('bash', ['-c', `set -euo pipefail\n${script}\n`], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', files[0]!.fd, files[1]!.fd],
    timeout: TIMEOUT_MS,
  })
  const [code] = await once(child, 'close')
  await Promise.all(files.map((file) => file.close()))
  const [output, errors] = (await Promise.all(paths.map((path) => readFile(path, 'utf8')))) as [string, string]
  return { code, output, errors }
}
