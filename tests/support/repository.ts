/** The files of this repository as tests/tidy.test.ts looks at them: those that git tracks or would add. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export interface Import {
  /** A path from the root for a file of ours, else the name of the package or `node:` module. */
  target: string
  ours: boolean
  /** Only types: nothing of it is there at run time. */
  typesOnly: boolean
}

/** Paths from the root, with `/`. */
export function files(): string[] {
  const out = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  return out.split('\0').filter((path) => path !== '' && exists(path))
}

export function exists(path: string): boolean {
  return existsSync(join(ROOT, path))
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Statically and by `import('…')` with a literal. */
export function importsOf(path: string): Import[] {
  const text = textOf(path)
  const found: Import[] = []
  for (const [, clause = '', target] of text.matchAll(/^\s*(?:import|export)\b([^'";]*?)\bfrom '([^']+)'/gm))
    found.push(resolved(path, target!, isTypesOnly(clause)))
  for (const [, target] of text.matchAll(/(?:^\s*import |\bimport\(\s*)'([\w@./:-]+)'/gm)) found.push(resolved(path, target!, false))
  return found
}

/** `import type …`, or braces in which each name is a type. */
function isTypesOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true
  const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]
  return names?.split(',').every((name) => name.trim() === '' || /^\s*type\s/.test(name)) ?? false
}

function resolved(from: string, target: string, typesOnly: boolean): Import {
  if (target.startsWith('.')) return { target: posix.join(posix.dirname(from), target), ours: true, typesOnly }
  if (target.startsWith('node:')) return { target, ours: false, typesOnly }
  const parts = target.split('/')
  return { target: parts.slice(0, target.startsWith('@') ? 2 : 1).join('/'), ours: false, typesOnly }
}
