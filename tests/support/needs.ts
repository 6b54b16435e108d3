/**
 * The one home of the rule about what tests need beyond Node, git and Temporal: a test that needs it is skipped where it is missing, and
 * its title names it. With CASTOR_TEST_ALL=1 (.ci/run) nothing may be skipped, so there it fails.
 *
 *   describe.skipIf(missing('openssl'))('over TLS (needs openssl)', …)
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Whether one of these programs is not on PATH; throws instead where nothing may be skipped. */
export function missing(...programs: string[]): boolean {
  const absent = programs.filter((program) => !isOnPath(program))
  return absent.length > 0 && mayBeSkipped(`not on PATH: ${absent.join(', ')}`)
}

/** Whether there is no `python3` on PATH that has this package. */
export function missingPythonPackage(name: string): boolean {
  const { status } = spawnSync('python3', ['-c', `import ${name}`], { stdio: 'ignore' })
  return status !== 0 && mayBeSkipped(`no python3 with the package ${name}`)
}

/**
 * Whether a process cannot be given a small disk of its own (castor.ts): that takes Linux, root, and a container that allows mounts. Tried
 * in a namespace that ends with the try.
 */
export function missingSmallDisk(): boolean {
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'castor-test', tmpdir()])
  return status !== 0 && mayBeSkipped('no small disk can be mounted (Linux, root, unshare)')
}

function mayBeSkipped(why: string): true {
  if (process.env.CASTOR_TEST_ALL === '1') throw new Error(`CASTOR_TEST_ALL is 1, so that no test may be skipped, and ${why}`)
  return true
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
