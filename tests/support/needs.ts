/**
 * The one home of the rule about programs beyond Node, git and Temporal: a test that needs one is skipped where it is missing, and its
 * title names it. With CASTOR_TEST_ALL=1 (.ci/run) nothing may be skipped, so there it fails.
 *
 *   describe.skipIf(missing('openssl'))('over TLS (needs openssl)', …)
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Whether one of these programs is not on PATH; throws instead where nothing may be skipped. */
export function missing(...programs: string[]): boolean {
  const absent = programs.filter((program) => !isOnPath(program))
  if (absent.length > 0 && process.env.CASTOR_TEST_ALL === '1')
    throw new Error(`CASTOR_TEST_ALL is 1, so that no test may be skipped, and not on PATH: ${absent.join(', ')}`)
  return absent.length > 0
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
